"""Train, evaluate or predict from a configuration: LightningCLI with this package's defaults."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from fdkd_lightning.files.checkpoint_file import DamagedCheckpointError
from fdkd_lightning.training.parser.exception_text import message_of
from fdkd_lightning.training.parser.help_text import USAGE
from fdkd_lightning.training.parser.run_parser import (
    TRAINER_DEFAULTS,
    RunParser,
    import_public_classes,
)
from fdkd_lightning.training.run.atomic_checkpoint_io import with_atomic_io
from fdkd_lightning.training.run.predictions import PredictionTable
from fdkd_lightning.training.run.replaced_run import ReplacedRun, has_replaced, settle_replaced
from fdkd_lightning.training.run.run_folder import find_checkpoint, run_folder
from fdkd_lightning.training.run.run_lock import RunLock, RunLockedError, is_rank_zero
from fdkd_lightning.training.run.run_loggers import place_loggers, run_loggers
from fdkd_lightning.training.run.run_record import RunRecord
from fdkd_lightning.training.run.save_run_config import SaveRunConfig
from fdkd_lightning.training.run_callbacks import run_callbacks
from fdkd_lightning.training.summary import summary_lines


class FDKDCLI(LightningCLI):
    """LightningCLI with one folder per run, ``trainer.default_root_dir``.

    The folder holds ``checkpoints/best.ckpt`` (best on the validation set) and ``last.ckpt``,
    ``logs/version_N`` (configuration, CSV and TensorBoard, one per start) and
    ``predictions.csv``. ``--ckpt_path=best`` and ``last`` are these files in every command, so the
    configuration of one run can name the checkpoint of another before it exists. The folder's name
    may hold environment variables (``runs/sweep/$WANDB_RUN_ID``).
    """

    trainer_type: type[Trainer] = Trainer
    """The class whose methods are the commands."""
    reads_checkpoint = True
    """Whether commands other than fit read a checkpoint of the run."""

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
            self.subcommands = lambda: commands  # type: ignore[method-assign]  # LightningCLI calls it on this instance; the class lists all
        self._locks: list[RunLock] = []
        self._replaces: list[Callback] = []
        try:
            self._start(args, commands)
        finally:
            for lock in self._locks:
                lock.release()

    def _start(self, args: Sequence[str] | None, commands: dict[str, set[str]]) -> None:
        super().__init__(
            LightningModule,
            LightningDataModule,
            trainer_class=self.trainer_type,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
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
            assert isinstance(each, RunParser)  # parser_class
            each.given, each.names = self._command, names
        if "test" in self._subcommand_parsers:
            self._subcommand_parsers["test"].set_defaults({"verbose": False})  # see after_test
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
        try:
            config.trainer.default_root_dir = run_folder(config.trainer.default_root_dir)
        except ValueError as error:
            self.parser.error(str(error))
        self._given = self.config.clone()
        place_loggers(config, self.subcommand != "fit" or bool(config.get("ckpt_path")))
        folder = Path(config.checkpoint.dirpath or Path(self._root) / "checkpoints")
        self._lock(config, folder)
        config.checkpoint.dirpath = config.last_checkpoint.dirpath = str(folder)
        if not self.reads_checkpoint:
            return
        if self.subcommand != "fit":
            # Lightning would test an untrained network.
            config.ckpt_path = self._checkpoint_file(folder, config.ckpt_path or "best")
        elif config.ckpt_path is not None:
            # Lightning would only warn that "last" is missing, and train from scratch.
            config.ckpt_path = self._checkpoint_file(folder, config.ckpt_path)
        elif (folder / "last.ckpt").exists() and not config.trainer.fast_dev_run:
            self._replace_checkpoints(folder, config.overwrite)

    def instantiate_classes(self) -> None:
        """Build trainer, model and data; report a failure by its cause alone."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, KeyError, OSError, MisconfigurationException) as error:
            # With JSONARGPARSE_DEBUG set the parser raises it, traceback and all.
            self.parser.error(message_of(error), error)

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
        callbacks = run_callbacks(self._get(self.config_init, "trainer").callbacks)
        record = RunRecord(self._parser(self.subcommand), given, self._command)
        kwargs["callbacks"] = [*self._replaces, record, *callbacks]
        kwargs["plugins"] = with_atomic_io(self._get(self.config_init, "trainer").plugins)
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """Print the best value, its epoch, its checkpoint and the next command."""
        self._print_summary("test")

    def after_test(self) -> None:
        """Print the evaluated checkpoint and the next command."""
        self._print_summary("predict")

    def _print_summary(self, following: str) -> None:
        config = self.config[self.subcommand]
        monitor = config.checkpoint.monitor
        if self.trainer.is_global_zero and not config.trainer.fast_dev_run:
            print("\n".join(summary_lines(self._root, monitor, self._command, following)))

    @property
    def reported_folder(self) -> Path | None:
        """The run's folder, on the rank that writes its report; None: there is nothing to report.

        A run without files, ``fast_dev_run``, has none.
        """
        is_first = self.trainer.is_global_zero
        return Path(self._root) if is_first and not self.trainer.fast_dev_run else None  # type: ignore[attr-defined]  # set later

    @property
    def _root(self) -> str:
        root: str = self.config[self.subcommand].trainer.default_root_dir
        return root

    def _lock(self, config: Namespace, folder: Path) -> None:
        """Lock the folders of a fit; restore what an earlier one that was killed left aside."""
        trains = self.subcommand == "fit" and not config.trainer.fast_dev_run
        if not is_rank_zero() or not (trains or has_replaced(self._root, folder)):
            return
        root = Path(self._root)
        has_own = config.checkpoint.dirpath and folder.resolve() != root.resolve()
        for locked in (root, *([folder] if has_own else [])):
            lock = RunLock(locked)
            try:
                lock.acquire()
            except RunLockedError as error:
                if trains:
                    self.parser.error(str(error))
                return  # the files aside are those of the fit that is running
            self._locks.append(lock)
        settle_replaced(self._root, folder)

    def _replace_checkpoints(self, folder: Path, overwrite: bool) -> None:
        if not overwrite:
            self.parser.error(
                f"{folder} holds the checkpoints of an earlier run: resume it "
                "(--ckpt_path=last), replace it (--overwrite=true), or choose another folder "
                "(--trainer.default_root_dir=...)"
            )
        self._replaces.append(ReplacedRun(self._root, folder))

    def _checkpoint_file(self, folder: Path, wanted: str) -> str:
        try:
            return str(find_checkpoint(folder, wanted))
        except (FileNotFoundError, DamagedCheckpointError) as error:
            self.parser.error(f"ckpt_path={wanted!r}: {error}")
