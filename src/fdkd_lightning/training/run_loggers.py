"""The loggers of a run, which write into its folder, one of them a CSV log."""

from collections.abc import Iterable

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger


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


def redirect_loggers(config: Namespace) -> None:
    """Let loggers whose ``save_dir`` is the current folder write into the run's folder."""
    loggers = config.trainer.logger
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        # The default of WandbLogger.
        if isinstance(logger, Namespace) and logger.init_args.get("save_dir") == ".":
            logger.init_args.save_dir = config.trainer.default_root_dir
