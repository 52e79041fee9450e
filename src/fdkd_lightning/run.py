"""One run from its configuration: LightningCLI with our defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from fdkd_lightning.predictions import PredictionTable


class FDKDCLI(LightningCLI):
    """LightningCLI whose runs each have one folder, ``trainer.default_root_dir``.

    In it are ``checkpoints/best.ckpt`` (best on validation) and ``last.ckpt``,
    ``logs/version_N`` (configuration, CSV and TensorBoard, one per start) and
    ``predictions.csv``. So ``--ckpt_path=best`` and ``last`` mean these files in every command,
    and the configuration of one run can name the checkpoint of another before it exists.

    Args:
        args: The arguments, a command first; None: those of the process.
    """

    def __init__(self, args: Sequence[str] | None = None) -> None:
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            trainer_defaults={"default_root_dir": "runs", "log_every_n_steps": 1},
            parser_kwargs={"prog": "fdkd", "epilog": "fdkd study --help: many runs, one table."},
            auto_configure_optimizers=False,
            # The run's configuration is logs/version_N/config.yaml, in one place: hyper-parameters
            # inside the checkpoint would take precedence over the command line.
            load_from_checkpoint_support=False,
            args=None if args is None else list(args),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what every run has beside trainer, model and data."""
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.monitor": "val/accuracy",
                "checkpoint.mode": "max",
                "checkpoint.filename": "best",
                "checkpoint.save_last": True,
                # The names are fixed, so that other commands and configurations find them.
                "checkpoint.enable_version_counter": False,
            }
        )
        parser.add_lightning_class_args(PredictionTable, "predictions")
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Let fit replace the checkpoints of a run that is already in the folder.",
        )

    def before_instantiate_classes(self) -> None:
        """Settle the run's folder and which checkpoint is meant, before anything is built."""
        config = self.config[self.subcommand]
        folder = Path(config.checkpoint.dirpath or Path(self._root) / "checkpoints")
        config.checkpoint.dirpath = str(folder)
        if self.subcommand != "fit":
            # An untrained network would be tested without a word otherwise.
            config.ckpt_path = self._checkpoint(folder, config.ckpt_path or "best")
        elif config.ckpt_path is not None:
            # Lightning would only warn of a missing "last" and train from scratch.
            config.ckpt_path = self._checkpoint(folder, config.ckpt_path)
        elif (folder / "last.ckpt").exists() and not config.overwrite:
            self._error(
                f"{folder} holds the checkpoints of an earlier run: go on with it "
                "(--ckpt_path=last), replace it (--overwrite=true), or choose another folder "
                "(--trainer.default_root_dir=...)"
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to CSV and TensorBoard unless the configuration says otherwise."""
        if self._get(self.config_init, "trainer").logger is None:
            csv = CSVLogger(self._root, name="logs")
            board = TensorBoardLogger(self._root, name="logs", version=csv.version)
            loggers: list[Logger] = [csv, board]
            kwargs["logger"] = loggers
        return super().instantiate_trainer(**kwargs)

    @property
    def _root(self) -> str:
        root: str = self.config[self.subcommand].trainer.default_root_dir
        return root

    def _checkpoint(self, folder: Path, wanted: str) -> str:
        path = folder / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
        if not path.is_file():
            self._error(
                f"ckpt_path={wanted!r} is {path}, and there is no such file: train first "
                "(fdkd fit with the same --config), or give the path of a checkpoint"
            )
        return str(path)

    def _error(self, message: str) -> None:
        self.parser.error(message)
