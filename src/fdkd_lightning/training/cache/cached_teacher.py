"""A teacher whose outputs were computed before: it maps ids of samples to outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fdkd_lightning.models.pretrained import DeferredModel, load_pretrained
from fdkd_lightning.ops.tensor_checks import check_module
from fdkd_lightning.training.cache.cache_store import EVALUATION, CacheStore
from fdkd_lightning.training.cache.fingerprint import (
    StaleCacheError,
    differences,
    digest_of,
    teacher_fingerprint,
    version_fingerprint,
)
from fdkd_lightning.training.cache.top_logits import LOGITS, TopLogits, restored_logits
from fdkd_lightning.training.missing_modality import present_mask
from fdkd_lightning.training.probe import modality_input
from fdkd_lightning.types import Batch, Output


class CachedTeacher(DeferredModel):
    """A frozen teacher whose outputs ``fdkd cache`` has stored; it is not run.

    Its input is the batch's ``index``: the teacher's modality is not decoded, and the network need
    not be on the machine. Outputs are those of the teacher in evaluation, bit by bit if the cache
    is of float32; with ``top_k`` the smaller logits are replaced by one value. Rows are read from
    the disk as they are needed, and compared with their check sums when they are read first. The
    ids are read on the CPU, for which a GPU is waited for.

    Args:
        folder: Folder of one teacher, ``<modality>-<digest>``, which ``fdkd cache`` has printed.
        fingerprint: Digest that the cache must have; None: ``network`` is given.
        network: The teacher itself, with which the cache is compared. It is not kept.

    Shape:
        - index: [N] int64
        - output: as the teacher's

    Raises:
        ValueError: If neither ``fingerprint`` nor ``network`` is given; on reading, if a sample is
            not stored.
        StaleCacheError: By :meth:`load`, if the cache is of something else; it says what differs.
        FileNotFoundError: By :meth:`load`, if the folder is no finished cache.
        DamagedCacheError: If a file has changed.

    Example:
        >>> teacher = CachedTeacher("runs/cache/audio-3f9c", fingerprint="3f9c")
        >>> teacher.has_weights
        False
    """

    def __init__(
        self,
        folder: str | Path,
        fingerprint: str | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(folder, str | Path):
            raise TypeError(f"folder={folder!r} must be the path of a folder")
        if fingerprint is None and network is None:
            raise ValueError(
                f"fingerprint=None, and no network to compare {str(folder)!r} with: give the "
                "fingerprint that fdkd cache has printed, or the network"
            )
        if not isinstance(fingerprint, str | None):
            raise TypeError(f"fingerprint={fingerprint!r} must be a text, as fdkd cache printed it")
        if network is not None:
            check_module("network", network)
        self.folder = Path(folder).expanduser()
        self.fingerprint = fingerprint
        # Not a part of this module: it would be moved to the device.
        self._network = (network,)
        self._store: CacheStore | None = None
        self.epoch: int | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that the teacher was trained on; empty: unknown."""
        return self.store.manifest.class_names

    @property
    def store(self) -> CacheStore:
        """The stored outputs."""
        if self._store is None:
            self._store = CacheStore(self.folder)
        return self._store

    def load(self) -> None:
        """Open the cache, and compare its fingerprint."""
        cached = self.store.manifest.fingerprint
        name = f"folder={str(self.folder)!r}"
        if self.fingerprint is not None and digest_of(cached) != self.fingerprint:
            raise StaleCacheError(
                f"{name} has fingerprint {digest_of(cached)}, not {self.fingerprint}: it is of "
                f"{cached['teacher.class']}, weights {cached['teacher.weights'][:16]}, "
                f"{cached['data.class']}; give the folder of {self.fingerprint}, or build it again"
            )
        (network,) = self._network
        if network is not None:
            load_pretrained(network)
            found = {**teacher_fingerprint(network), **version_fingerprint()}
            raise_if_different(self.folder, differences(cached, found))

    def set_epoch(self, epoch: int | None) -> None:
        """Choose the view of training samples; None: as in evaluation where it is stored."""
        self.epoch = epoch

    def present(self, index: Tensor) -> Tensor | None:
        """Return which samples have the teacher's modality; None: all samples of the cache have it.

        Shape:
            - index: [N] int64
            - output: [N] bool
        """
        if not self.store.manifest.optional:
            return None
        return torch.from_numpy(self.store.present(self._rows(index))).to(index.device)

    def forward(self, index: Tensor) -> Output:
        """Return the stored outputs."""
        arrays = self.store.read(self._rows(index))
        tensors = {
            name: torch.from_numpy(arrays[name]).to(index.device, getattr(torch, spec.computed))
            for name, spec in self.store.manifest.tensors.items()
        }
        count = sum(name.startswith("map.") for name in tensors)
        maps = tuple(tensors[f"map.{i}"] for i in range(count))
        classes = self.store.manifest.classes
        if classes:
            top = TopLogits(*(tensors[f"{LOGITS}.{part}"] for part in TopLogits._fields))
            tensors[LOGITS] = restored_logits(top, classes)
        return Output(tensors["features"], tensors[LOGITS], maps)

    def _rows(self, index: Any) -> NDArray[np.int64]:
        if not isinstance(index, Tensor) or index.ndim != 1 or index.is_floating_point():
            raise TypeError(f"index={index!r:.60} must be the samples' ids, [N] int64")
        views = self.store.manifest.views
        view = 1 + (self.epoch or 0) % views if views else EVALUATION
        return self.store.find(index.cpu().numpy().astype(np.int64), view)


def teacher_input(teacher: nn.Module, batch: Batch, modality: str) -> Any:
    """Return a teacher's input: its modality, or for a cached one the samples' ids.

    Example:
        >>> batch = {"audio": torch.zeros(2, 3), "index": torch.tensor([5, 7])}
        >>> teacher_input(CachedTeacher("folder", "3f9c"), batch, "audio")
        tensor([5, 7])
    """
    if not isinstance(teacher, CachedTeacher):
        return modality_input(batch, modality)
    if "index" not in batch:
        raise KeyError(
            f"the batch holds no 'index', by which the {modality} teacher's cache is read: let the "
            "data give the samples' ids, or name their key (index=...) in DistillationCallback"
        )
    return batch["index"]


def teacher_present(teacher: nn.Module, batch: Batch, modality: str) -> Tensor | None:
    """Return which samples have a teacher's modality; None if all of them do.

    Shape:
        - output: [N] bool
    """
    return present_mask(with_presence({modality: teacher}, batch), modality)


def with_presence(teachers: Mapping[str, nn.Module] | nn.ModuleDict, batch: Batch) -> Batch:
    """Return the batch with the masks of samples that lack a cached teacher's modality.

    A batch in which the modality is not loaded does not have them; the cache does.
    """
    for modality in teachers:
        teacher = teachers[modality]
        if not isinstance(teacher, CachedTeacher) or modality in batch.get("present", {}):
            continue
        present = teacher.present(teacher_input(teacher, batch, modality))
        if present is not None:
            batch = {**batch, "present": {**batch.get("present", {}), modality: present}}
    return batch


def raise_if_different(folder: Path, lines: list[str]) -> None:
    """Raise if a cache differs from what is trained with in at least one part."""
    if lines:
        more = f"; and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise StaleCacheError(
            f"folder={str(folder)!r} is of something else ({'; '.join(lines[:3])}{more}): build it "
            "again with fdkd cache, or train with what it was built from"
        )
