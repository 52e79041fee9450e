"""Find the checkpoint that a command is to load."""

from pathlib import Path

from fdkd_lightning.ops.checkpoint_file import check_checkpoint


def find_checkpoint(folder: Path, wanted: str) -> Path:
    """Return the path of ``best``, ``last`` or a file, which exists and is whole.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedCheckpointError: If it is empty, cut off or no checkpoint.
    """
    path = folder / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
    if not path.is_file():
        remedy = "train first (fdkd fit with the same --config), or give the path of a checkpoint"
        if wanted == "best" and (folder / "last.ckpt").is_file():
            remedy = "the run was not validated; its last epoch is --ckpt_path=last"
        raise FileNotFoundError(f"there is no file {path.absolute()}: {remedy}")
    others = sorted(other.stem for other in folder.glob("*.ckpt") if other != path)
    remedy = f"use --ckpt_path={others[0]}, or " if others and path.parent == folder else ""
    check_checkpoint(path, str(path), f"{remedy}train again (--overwrite=true)")
    return path
