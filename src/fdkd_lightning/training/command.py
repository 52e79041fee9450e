"""One run from its configuration: LightningCLI with our defaults."""

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from fdkd_lightning.training.predictions import PredictionTable
from fdkd_lightning.training.run import RunRecord


class KeepConfig(SaveConfigCallback):
    """Writes the configuration into the run's folder, and to loggers that are elsewhere."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it once, and never an evaluation's over that of fit."""
        log_dir = trainer.log_dir
        own_folder = log_dir is not None and Path(log_dir) != Path(trainer.default_root_dir)
        self.save_to_log_dir = stage == "fit" or own_folder
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log it as hyper-parameters, once, where the folder of the logs is not the run's."""
        config = json.loads(self.parser.dump(self.config, skip_none=False, format="json"))
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger | TensorBoardLogger):
                logger.log_hyperparams(config)


class FDKDCLI(LightningCLI):
    """LightningCLI whose runs each have one folder, ``trainer.default_root_dir``.

    In it are ``checkpoints/best.ckpt`` (best on validation) and ``last.ckpt``,
    ``logs/version_N`` (configuration, CSV and TensorBoard, one per start) and
    ``predictions.csv``. So ``--ckpt_path=best`` and ``last`` mean these files in every command,
    and the configuration of one run can name the checkpoint of another before it exists. The
    folder's name may hold environment variables (``runs/sweep/$WANDB_RUN_ID``).

    Args:
        args: The arguments, a command first; None: those of the process.
    """

    trainer_kind: type[Trainer] = Trainer
    """What the commands are methods of."""

    def __init__(self, args: Sequence[str] | None = None) -> None:
        # The console script and a cluster's workers find a user's modules where
        # `python -m fdkd_lightning` does.
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        self._command = sys.argv[1:] if args is None else list(args)
        super().__init__(
            LightningModule,
            LightningDataModule,
            trainer_class=self.trainer_kind,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            # Every 50 steps, the default, would warn of epochs that are shorter.
            trainer_defaults={"default_root_dir": "runs", "log_every_n_steps": 1},
            parser_kwargs={
                "prog": "fdkd",
                "epilog": "Also: fdkd study --help (many runs), fdkd prepare --help (decoding), "
                "and fdkd export --help (the student alone).",
            },
            auto_configure_optimizers=False,
            # The run's configuration is logs/version_N/config.yaml, in one place: hyper-parameters
            # inside the checkpoint would take precedence over the command line.
            load_from_checkpoint_support=False,
            save_config_callback=KeepConfig,
            save_config_kwargs={"overwrite": True},
            args=None if args is None else list(args),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what every run has beside trainer, model and data."""
        # The names are fixed, so that other commands and configurations find the files. The last
        # epoch's is a callback of its own: the best one's `save_last` skips epochs that are not.
        names = {"checkpoint": "best", "last_checkpoint": "last"}
        for argument, name in names.items():
            parser.add_lightning_class_args(ModelCheckpoint, argument)
            parser.set_defaults(
                {f"{argument}.filename": name, f"{argument}.enable_version_counter": False}
            )
        parser.set_defaults(
            {
                "checkpoint.monitor": "val/accuracy",
                "checkpoint.mode": "max",
                # Also of an epoch without validation.
                "last_checkpoint.save_on_train_epoch_end": True,
            }
        )
        parser.add_lightning_class_args(PredictionTable, "predictions")
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Let fit replace the checkpoints of a run that is already in the folder.",
        )
        for action in parser._actions:
            if action.dest.startswith("trainer.limit_"):
                # Lightning's annotation has int before float, but the typing module's cache may
                # give it as float before int, and 1 batch becomes 1.0, all (Lightning #21259).
                action._typehint = int | float | None  # type: ignore[attr-defined]  # private

    def before_instantiate_classes(self) -> None:
        """Settle the run's folder and which checkpoint is meant, before anything is built."""
        config = self.config[self.subcommand]
        self._expand_root(config)
        self._said = self.config.clone()
        self._keep_logs_in_root(config)
        folder = Path(config.checkpoint.dirpath or Path(self._root) / "checkpoints")
        config.checkpoint.dirpath = config.last_checkpoint.dirpath = str(folder)
        if self.subcommand != "fit":
            # An untrained network would be tested without a word otherwise.
            config.ckpt_path = self._checkpoint(folder, config.ckpt_path or "best")
        elif config.ckpt_path is not None:
            # Lightning would only warn of a missing "last" and train from scratch.
            config.ckpt_path = self._checkpoint(folder, config.ckpt_path)
        elif (folder / "last.ckpt").exists() and not config.trainer.fast_dev_run:
            self._make_way(folder, config.overwrite)
        self._require_root(config)

    def instantiate_classes(self) -> None:
        """Build everything; of what goes wrong say the cause, not the way there."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, KeyError, OSError) as error:
            cause: BaseException = error
            # The parser wraps what a constructor raises, with the whole configuration.
            while str(cause).startswith("Problem with given class_path") and cause.__cause__:
                cause = cause.__cause__
            message = cause.args[0] if isinstance(cause, KeyError) else cause
            # With JSONARGPARSE_DEBUG set the parser raises it, traceback and all.
            self.parser.error(f"{message}", error)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to CSV and TensorBoard unless the configuration says otherwise."""
        # The run's saved configuration is what was said, so that it can be run in another folder;
        # but never again over a finished one.
        said = self._said[self.subcommand]
        self.config = self._said
        if self.subcommand == "fit":
            said.overwrite, said.ckpt_path = False, None
        if "logger" not in kwargs and self._get(self.config_init, "trainer").logger is None:
            csv = CSVLogger(self._root, name="logs")
            board = TensorBoardLogger(self._root, name="logs", version=csv.version)
            loggers: list[Logger] = [csv, board]
            kwargs["logger"] = loggers
        # Before the checkpoints' callbacks: each checkpoint carries its validation.
        given = self._get(self.config_init, "trainer").callbacks or []
        record = RunRecord(self._parser(self.subcommand), said, self._command)
        kwargs["callbacks"] = [record, *(given if isinstance(given, list) else [given])]
        return super().instantiate_trainer(**kwargs)

    @property
    def _root(self) -> str:
        root: str = self.config[self.subcommand].trainer.default_root_dir
        return root

    def _expand_root(self, config: Namespace) -> None:
        """Fill environment variables into the run's folder, which the run of a sweep goes by."""
        root = str(config.trainer.default_root_dir)
        config.trainer.default_root_dir = os.path.expandvars(root)
        unset = re.search(r"\$\w+|\${\w+}", config.trainer.default_root_dir)
        if unset:
            self.parser.error(
                f"trainer.default_root_dir={root!r} names {unset[0]}, which is not set: set that "
                "environment variable, or name the folder"
            )

    def _keep_logs_in_root(self, config: Namespace) -> None:
        """Put loggers that would write into the current folder into the run's."""
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            # W&B's own default is the current folder.
            if isinstance(logger, Namespace) and logger.init_args.get("save_dir") == ".":
                logger.init_args.save_dir = config.trainer.default_root_dir

    def _require_root(self, config: Namespace) -> None:
        root = Path(config.trainer.default_root_dir).absolute()
        existing = next(path for path in (root, *root.parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            self.parser.error(
                f"trainer.default_root_dir={config.trainer.default_root_dir!r}: {existing} is no "
                "folder that can be written: give the run another one"
            )

    def _make_way(self, folder: Path, overwrite: bool) -> None:
        if not overwrite:
            self.parser.error(
                f"{folder} holds the checkpoints of an earlier run: go on with it "
                "(--ckpt_path=last), replace it (--overwrite=true), or choose another folder "
                "(--trainer.default_root_dir=...)"
            )
        # A run that dies early must not leave the old one's to be tested.
        for name in ("best.ckpt", "last.ckpt"):
            rank_zero_only((folder / name).unlink)(missing_ok=True)

    def _checkpoint(self, folder: Path, wanted: str) -> str:
        path = folder / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
        if not path.is_file():
            remedy = (
                "train first (fdkd fit with the same --config), or give the path of a checkpoint"
            )
            if wanted == "best" and (folder / "last.ckpt").is_file():
                remedy = "the run was not validated; its last epoch is --ckpt_path=last"
            self.parser.error(f"ckpt_path={wanted!r}: there is no file {path.absolute()}: {remedy}")
        return str(path)
