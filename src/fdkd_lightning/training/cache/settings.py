"""Where and how the outputs of teachers are stored."""

import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from fdkd_lightning.ops.checks import check_choice, check_count, check_flags


@dataclass(frozen=True)
class TeacherCache:
    """Where and how the outputs of frozen teachers are stored.

    Args:
        folder: Folder of caches; each teacher has a folder ``<modality>-<digest>`` of its own in
            it, which studies and sweeps share.
        dtype: ``"float32"`` stores outputs exactly. ``"float16"`` halves the bytes and rounds each
            value by at most 2**-11 of itself, or 2**-25 below 6.1e-5.
        maps: Store the maps of stages too.
        views: Number of training views of each training sample; epoch e trains with view
            ``e % views``. 0: the one view of evaluation.
        top_k: Store the largest k logits of a sample, and one value for all others, with which the
            softmax of the k classes is exact (see
            :func:`~fdkd_lightning.training.cache.top_logits.top_logits`). 0: all logits.

    Raises:
        TypeError, ValueError: If an argument is invalid.

    Example:
        >>> TeacherCache("runs/cache", dtype="float16").path
        PosixPath('runs/cache')
    """

    folder: str | Path
    dtype: Literal["float16", "float32"] = "float32"
    maps: bool = False
    views: int = 0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.folder, str | PathLike) or not str(self.folder):
            raise TypeError(f"folder={self.folder!r} must be the path of a folder")
        check_choice("dtype", self.dtype, ("float16", "float32"))
        check_flags(maps=self.maps)
        check_count("views", self.views, 0)
        check_count("top_k", self.top_k, 0)

    @property
    def path(self) -> Path:
        """The folder of caches."""
        return Path(self.folder).expanduser()


def cache_settings(given: Any, train_teachers: bool = False) -> TeacherCache | None:
    """Return the settings that an argument ``teacher_cache`` means; None: no cache.

    Example:
        >>> cache_settings("runs/cache")
        TeacherCache(folder='runs/cache', dtype='float32', maps=False, views=0, top_k=0)
    """
    if given is None:
        return None
    if train_teachers:
        raise ValueError(
            f"teacher_cache={given!r} stores outputs of frozen teachers, but train_teachers=True: "
            "leave out one of them"
        )
    if isinstance(given, TeacherCache):
        return given
    if isinstance(given, str | PathLike) and str(given):
        return TeacherCache(os.fspath(given))
    raise TypeError(f"teacher_cache={given!r} must be a folder, or a TeacherCache")
