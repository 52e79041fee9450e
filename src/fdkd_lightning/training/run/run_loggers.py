"""The loggers of a run, which write into its folder, one of them a CSV log."""

import os
from collections.abc import Iterable

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from fdkd_lightning.training.run.run_record import read_run


def run_loggers(chosen: Logger | Iterable[Logger] | None, root: str) -> list[Logger]:
    """Return the chosen loggers, or TensorBoard's, and a CSV log, which card and report read.

    Example:
        >>> [type(logger).__name__ for logger in run_loggers(None, "runs")]
        ['CSVLogger', 'TensorBoardLogger']
    """
    csv = CSVLogger(root, name="logs")
    if chosen is None:
        return [csv, TensorBoardLogger(root, name="logs", version=csv.version)]
    loggers = [chosen] if isinstance(chosen, Logger) else [*chosen]
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            without_warning(logger)
    has_csv = any(isinstance(logger, CSVLogger) for logger in loggers)
    return loggers if has_csv else [*loggers, csv]


def without_warning(logger: WandbLogger) -> WandbLogger:
    """Leave out an argument that Lightning always gives, and of which W&B warns if it is given."""
    if logger._wandb_init.get("anonymous") is None:
        logger._wandb_init.pop("anonymous", None)
    return logger


def place_loggers(config: Namespace, continues: bool) -> None:
    """Let loggers write into the run's folder, and W&B go on with the folder's run.

    Args:
        config: The configuration of one subcommand. Of loggers whose ``save_dir`` is the current
            folder it becomes the run's; a W&B logger without an id gets that of ``run.json``.
        continues: Whether the run in the folder goes on: a test, a prediction, a resumed fit.
    """
    root = config.trainer.default_root_dir
    loggers = config.trainer.logger
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if not isinstance(logger, Namespace):
            continue
        # The default of WandbLogger.
        if logger.init_args.get("save_dir") == ".":
            logger.init_args.save_dir = root
        # An agent of W&B sets the variable.
        if continues and _lacks_id(logger) and "WANDB_RUN_ID" not in os.environ:
            logger.init_args.id = ((read_run(root) or {}).get("fit") or {}).get("wandb_id")


def _lacks_id(logger: Namespace) -> bool:
    is_wandb = logger.class_path.rpartition(".")[2] == WandbLogger.__name__
    # WandbLogger takes an id under both names.
    return is_wandb and not any(logger.init_args.get(name) for name in ("id", "version"))
