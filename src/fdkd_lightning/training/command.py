"""Train, evaluate or predict from a configuration: LightningCLI with this package's defaults."""

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
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from fdkd_lightning.training.help_text import USAGE
from fdkd_lightning.training.parser import RunParser, import_public_classes
from fdkd_lightning.training.predictions import PredictionTable
from fdkd_lightning.training.run import RunRecord
from fdkd_lightning.training.run_loggers import redirect_loggers, run_loggers
from fdkd_lightning.training.summary import summary_lines


class SaveRunConfig(SaveConfigCallback):
    """Save the configuration in the log folder, and log it to loggers that write elsewhere."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save once; an evaluation must not overwrite the configuration of fit."""
        log_dir = trainer.log_dir
        separate = log_dir is not None and Path(log_dir) != Path(trainer.default_root_dir)
        self.save_to_log_dir = stage == "fit" or separate
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log it once as hyper-parameters, to loggers whose files are not in the run's folder."""
        config = json.loads(self.parser.dump(self.config, skip_none=False, format="json"))
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger | TensorBoardLogger):
                logger.log_hyperparams(config)


class FDKDCLI(LightningCLI):
    """LightningCLI with one folder per run, ``trainer.default_root_dir``.

    The folder holds ``checkpoints/best.ckpt`` (best on the validation set) and ``last.ckpt``,
    ``logs/version_N`` (configuration, CSV and TensorBoard, one per start) and
    ``predictions.csv``. ``--ckpt_path=best`` and ``last`` are these files in every command, so the
    configuration of one run can name the checkpoint of another before it exists. The folder's name
    may hold environment variables (``runs/sweep/$WANDB_RUN_ID``).

    Args:
        args: The arguments, a command first; None: those of the process.
    """

    trainer_type: type[Trainer] = Trainer
    """The class whose methods are the commands."""

    def __init__(self, args: Sequence[str] | None = None) -> None:
        # The console script, `python -m fdkd_lightning` and a cluster's workers find a user's
        # modules in the current folder. Last: a file attr.py there must not replace a library.
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        given = self._command = sys.argv[1:] if args is None else list(args)
        if any("help" in argument for argument in given):
            import_public_classes()
        commands = self.subcommands()
        if given and given[0] in commands:
            # A parser takes a second to build: only that of the command that runs.
            commands = {given[0]: commands[given[0]]}
            self.subcommands = lambda: commands  # type: ignore[method-assign]  # this parser
        super().__init__(
            LightningModule,
            LightningDataModule,
            trainer_class=self.trainer_type,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            # The default of 50 steps warns in epochs that are shorter.
            trainer_defaults={"default_root_dir": "runs", "log_every_n_steps": 1},
            parser_class=RunParser,
            parser_kwargs={
                "prog": "fdkd",
                **{command: {"usage": USAGE.format(command=command)} for command in commands},
            },
            auto_configure_optimizers=False,
            # The run's configuration is logs/version_N/config.yaml and nowhere else:
            # hyper-parameters inside a checkpoint would override the command line.
            load_from_checkpoint_support=False,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"overwrite": True},
            args=None if args is None else list(args),
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Add the help of all arguments, which ``fdkd fit --help`` is an extract of."""
        parser = super().init_parser(**kwargs)
        parser.add_argument("--help-all", action="help", help="Show all arguments and exit.")
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Let the parsers find in which file, or where else, a refused value was given."""
        below = self._subcommand_parsers.values()
        names = [action.dest for each in below for action in each._actions]
        for each in (parser, *below):
            each.given, each.names = self._command, names
        super().parse_arguments(parser, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments of checkpoints, predictions and ``--overwrite``."""
        # Fixed names: other commands and configurations find the files. The last epoch has its own
        # callback: `save_last` of the best one's writes only when a best checkpoint is written.
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
                # Also in epochs without validation.
                "last_checkpoint.save_on_train_epoch_end": True,
            }
        )
        parser.add_lightning_class_args(PredictionTable, "predictions")
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Let fit replace the checkpoints that are in the run's folder.",
        )
        for action in parser._actions:
            if action.dest.startswith("trainer.limit_"):
                # Lightning annotates int | float, but the typing module's cache may return
                # float | int, and 1 batch becomes 1.0: all batches (Lightning #21259).
                action._typehint = int | float | None  # type: ignore[attr-defined]  # private

    def before_instantiate_classes(self) -> None:
        """Resolve the run's folder and the checkpoint."""
        config = self.config[self.subcommand]
        self._expand_root(config)
        self._given = self.config.clone()
        redirect_loggers(config)
        folder = Path(config.checkpoint.dirpath or Path(self._root) / "checkpoints")
        config.checkpoint.dirpath = config.last_checkpoint.dirpath = str(folder)
        if self.subcommand != "fit":
            # Lightning would test an untrained network.
            config.ckpt_path = self._checkpoint_file(folder, config.ckpt_path or "best")
        elif config.ckpt_path is not None:
            # Lightning would only warn that "last" is missing, and train from scratch.
            config.ckpt_path = self._checkpoint_file(folder, config.ckpt_path)
        elif (folder / "last.ckpt").exists() and not config.trainer.fast_dev_run:
            self._remove_checkpoints(folder, config.overwrite)
        self._require_root(config)

    def instantiate_classes(self) -> None:
        """Build trainer, model and data; report a failure by its cause alone."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, KeyError, OSError, MisconfigurationException) as error:
            message = error.args[0] if isinstance(error, KeyError) else error
            # With JSONARGPARSE_DEBUG set the parser raises it, traceback and all.
            self.parser.error(f"{message}", error)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to CSV and TensorBoard unless the configuration says otherwise."""
        # Save the configuration as it was given, so that it can be run in another folder, but
        # without permission to overwrite a finished run.
        given = self._given[self.subcommand]
        self.config = self._given
        if self.subcommand == "fit":
            given.overwrite, given.ckpt_path = False, None
        chosen = self._get(self.config_init, "trainer").logger
        if "logger" not in kwargs and not isinstance(chosen, bool):
            kwargs["logger"] = run_loggers(chosen, self._root)
        # Before the checkpoints' callbacks: each checkpoint carries its validation.
        callbacks = self._get(self.config_init, "trainer").callbacks or []
        record = RunRecord(self._parser(self.subcommand), given, self._command)
        kwargs["callbacks"] = [record, *(callbacks if isinstance(callbacks, list) else [callbacks])]
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """Print the best value, its epoch, its checkpoint and the next command."""
        self._print_summary("test")

    def after_test(self) -> None:
        """Print the evaluated checkpoint and the next command."""
        self._print_summary("predict")

    def _print_summary(self, following: str) -> None:
        monitor = self.config_init[self.subcommand].checkpoint.monitor
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:
            print("\n".join(summary_lines(self._root, monitor, self._command, following)))

    @property
    def _root(self) -> str:
        root: str = self.config[self.subcommand].trainer.default_root_dir
        return root

    def _expand_root(self, config: Namespace) -> None:
        """Expand environment variables in the folder's name, such as a sweep's run id."""
        root = str(config.trainer.default_root_dir)
        config.trainer.default_root_dir = os.path.expandvars(root)
        unset = re.search(r"\$\w+|\${\w+}", config.trainer.default_root_dir)
        if unset:
            self.parser.error(
                f"trainer.default_root_dir={root!r} names {unset[0]}, which is not set: set that "
                "environment variable, or name the folder"
            )

    def _require_root(self, config: Namespace) -> None:
        root = Path(config.trainer.default_root_dir).absolute()
        existing = next(path for path in (root, *root.parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            self.parser.error(
                f"trainer.default_root_dir={config.trainer.default_root_dir!r}: {existing} is not "
                "a writable folder: give another one"
            )

    def _remove_checkpoints(self, folder: Path, overwrite: bool) -> None:
        if not overwrite:
            self.parser.error(
                f"{folder} holds the checkpoints of an earlier run: resume it "
                "(--ckpt_path=last), replace it (--overwrite=true), or choose another folder "
                "(--trainer.default_root_dir=...)"
            )
        # If this run fails early, the old checkpoints must not be evaluated as its own.
        for name in ("best.ckpt", "last.ckpt"):
            rank_zero_only((folder / name).unlink)(missing_ok=True)

    def _checkpoint_file(self, folder: Path, wanted: str) -> str:
        path = folder / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
        if not path.is_file():
            remedy = (
                "train first (fdkd fit with the same --config), or give the path of a checkpoint"
            )
            if wanted == "best" and (folder / "last.ckpt").is_file():
                remedy = "the run was not validated; its last epoch is --ckpt_path=last"
            self.parser.error(f"ckpt_path={wanted!r}: there is no file {path.absolute()}: {remedy}")
        return str(path)
