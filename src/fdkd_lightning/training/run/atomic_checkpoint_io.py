"""Checkpoints that are complete under their name, and damaged ones named."""

import pickle
from pathlib import Path
from typing import Any

import torch
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.checkpoint_file import DamagedCheckpointError, load_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints beside their target, flush them to the disk and rename them.

    Lightning writes to the temporary folder and moves the file, which is no single step where that
    folder lies in another file system: a killed run, or a full disk, leaves a torn checkpoint. With
    this plugin the previous file stays until the next is complete. The command line and studies use
    it; give it to a trainer of your own as ``Trainer(plugins=[AtomicCheckpointIO()])``.

    Checkpoints at a URL (``s3://``) are written and read as Lightning does.

    Raises:
        OSError: By a save, if the disk is full or the folder cannot be written; it names the file,
            and a previous one is unchanged.
        DamagedCheckpointError: By a load, if the file is empty, cut off or no checkpoint.

    Example:
        >>> import tempfile
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(plugins=[AtomicCheckpointIO()], logger=False)
        >>> path = f"{tempfile.mkdtemp()}/last.ckpt"
        >>> AtomicCheckpointIO().save_checkpoint({"epoch": 3}, path)
        >>> AtomicCheckpointIO().load_checkpoint(path)
        {'epoch': 3}
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, or raise and leave a previous one as it is."""
        local = _local_path(path)
        if local is None or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        local.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(local) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch's writer reports the system's error in its own.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; name one that is damaged."""
        local = _local_path(path)
        if local is None:
            return super().load_checkpoint(path, map_location, weights_only)
        if not local.is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}: give the path of a file")
        remedy = "resume from another checkpoint of the run, or train again"
        if weights_only is False:
            # As the user asked: objects are unpickled.
            try:
                return super().load_checkpoint(path, map_location, weights_only)
            except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
                raise DamagedCheckpointError(
                    f"checkpoint {path} is not a checkpoint, or a damaged one: {remedy}"
                ) from error
        found: dict[str, Any] = load_checkpoint(
            local, f"checkpoint {path}", map_location=map_location, remedy=remedy
        )
        return found


def _local_path(path: str | Path) -> Path | None:
    """Return the path of a local file, None for another file system."""
    system, inner = url_to_fs(str(path))
    return Path(inner) if isinstance(system, LocalFileSystem) else None


def with_atomic_io(chosen: Any) -> list[Any]:
    """Return the trainer's chosen plugins, with atomic checkpoints unless they have others.

    Example:
        >>> [type(plugin).__name__ for plugin in with_atomic_io(None)]
        ['AtomicCheckpointIO']
    """
    plugins = chosen if isinstance(chosen, list) else [chosen] if chosen else []
    has_own = any(isinstance(plugin, CheckpointIO) for plugin in plugins)
    return plugins if has_own else [*plugins, AtomicCheckpointIO()]
