"""Keep a finished run's files until the run that overwrites it has worked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from fdkd_lightning.training.run.run_lock import is_rank_zero
from fdkd_lightning.training.run.run_record import RECORD

CHECKPOINTS = ("best.ckpt", "last.ckpt")


class ReplacedRun(Callback):
    """Move an earlier run's checkpoints and record aside, and remove them when this run has saved.

    If this run fails before its first checkpoint, the earlier files are restored, so that they are
    never evaluated as this run's, nor lost. If it is killed, the next command restores them.
    """

    def __init__(self, root: str | Path, folder: str | Path) -> None:
        self.root = Path(root)
        self.folder = Path(folder)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the earlier files aside."""
        if is_rank_zero():
            for path in _files(self.root, self.folder):
                if path.exists():
                    path.replace(_aside(path))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove them once this run has saved a checkpoint."""
        if is_rank_zero() and _has_saved(self.folder):
            settle_replaced(self.root, self.folder)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove them."""
        if is_rank_zero():
            _remove(self.root, self.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: Any) -> None:
        """Restore them, unless this run has saved a checkpoint."""
        if is_rank_zero():
            settle_replaced(self.root, self.folder)


def has_replaced(root: str | Path, folder: str | Path) -> bool:
    """Return whether a run that was killed has left an earlier run's files aside."""
    return any(_aside(path).exists() for path in _files(root, folder))


def settle_replaced(root: str | Path, folder: str | Path) -> None:
    """Restore the files that were moved aside; remove them if the later run has saved."""
    if _has_saved(folder):
        _remove(root, folder)
        return
    restored = [path for path in _files(root, folder) if _aside(path).exists()]
    for path in restored:
        _aside(path).replace(path)
    if restored:
        rank_zero_info(
            f"the run that was to overwrite {root} saved no checkpoint: the earlier run's files "
            "are restored"
        )


def _files(root: str | Path, folder: str | Path) -> Sequence[Path]:
    return [*(Path(folder) / name for name in CHECKPOINTS), Path(root) / RECORD]


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def _has_saved(folder: str | Path) -> bool:
    return any((Path(folder) / name).exists() for name in CHECKPOINTS)


def _remove(root: str | Path, folder: str | Path) -> None:
    for path in _files(root, folder):
        _aside(path).unlink(missing_ok=True)
