"""Let a fit read its teachers' outputs from caches, after comparing these with its data."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.training.cache.build import build_cache
from fdkd_lightning.training.cache.cache_store import read_manifest
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher, raise_if_different
from fdkd_lightning.training.cache.fingerprint import (
    StaleCacheError,
    data_fingerprint,
    differences,
    digest_of,
    sample_ids,
    sample_keys,
)
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.top_logits import LOGITS, check_top_k
from fdkd_lightning.training.teachers import FrozenTeachers
from fdkd_lightning.types import Batch

DENSE = 3
"""Dimensions of a row of maps, whose positions must be those of the student's view."""


def use_caches(
    teachers: FrozenTeachers,
    settings: TeacherCache | None,
    trainer: Trainer,
    task: Task | None = None,
    loaded: Collection[str] | None = None,
    read: Callable[[Any], Batch] = lambda batch: batch,
) -> None:
    """Build the caches that a fit lacks, open them, and compare them with the fit's data.

    Args:
        teachers: The teachers; those whose outputs are cached are replaced.
        settings: Where caches are built; None: only ``CachedTeacher`` are cached.
        trainer: A trainer whose fit is about to begin.
        task: What the labels mean; None: unknown.
        loaded: Modalities that are loaded nevertheless, such as the student's; None: all.
        read: Returns modalities, ``index`` and ``present`` of a batch.

    Raises:
        ValueError: If there is no data module to build caches from, or a cache holds the largest
            logits alone and the task is not one class per sample.
        StaleCacheError: If a cache is of something else; it says what differs.
    """
    data: Any = getattr(trainer, "datamodule", None)
    given = teachers.given()
    if isinstance(data, MultimodalDataModule):
        data.skip_modalities()
    check_top_k(settings.top_k if settings else 0, task)
    caches = {}
    for modality, network in given.items():
        if isinstance(network, CachedTeacher):
            caches[modality] = network
        elif settings is not None:
            if not isinstance(data, LightningDataModule):
                raise ValueError(
                    f"teacher_cache={str(settings.folder)!r} is built from a data module: give fit "
                    "a LightningDataModule (datamodule=...), or leave out teacher_cache"
                )
            shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
            folder = build_cache(network, modality, data, settings, trainer, read, shown)
            digest = digest_of(read_manifest(folder).fingerprint)
            caches[modality] = CachedTeacher(folder, digest)
    teachers.use_caches(caches)
    teachers.load()
    for modality, cached in caches.items():
        _check_modality(cached, modality)
        check_top_k(cached.store.manifest.fingerprint.get("output.top_k", 0), task)
        if isinstance(data, LightningDataModule):
            check_data(cached, modality, data)
            _check_views(cached, modality, data, trainer.max_epochs)
    if isinstance(data, MultimodalDataModule) and loaded is not None:
        needed = {*loaded, *(given.keys() - caches.keys())}
        data.skip_modalities({*caches} - needed)


def check_data(teacher: CachedTeacher, modality: str, data: LightningDataModule) -> None:
    """Raise if a cache is not of the samples that a data module trains on.

    Compared are the data module's class and arguments; transform and recipe, if it loads the
    modality; and each training sample's id, name and source, as far as the data set has them.

    Raises:
        StaleCacheError: If one differs.
        ValueError: If a training sample is not stored.
    """
    store = teacher.store
    cached, views = store.manifest.fingerprint, store.manifest.views
    present = data_fingerprint(data, modality, seed_matters=views > 0)
    raise_if_different(teacher.folder, differences(cached, present))
    dataset = getattr(data, "datasets", {}).get("train")
    ids = sample_ids(dataset)
    if ids is None:
        return
    rows = store.find(ids, int(views > 0))
    keys, stored = sample_keys(dataset, modality, range(len(ids))), store.keys()[rows]
    wrong = (keys != stored) & (keys != 0) & (stored != 0)
    if wrong.any():
        at, column = np.argwhere(wrong)[0].tolist()
        what = ("name", "file or text")[column]
        raise StaleCacheError(
            f"folder={str(teacher.folder)!r} is of other samples: {what} of sample {ids[at]} "
            f"differs ({int(wrong.any(1).sum())} samples in all): build it again with fdkd cache"
        )


def _check_modality(teacher: CachedTeacher, modality: str) -> None:
    cached = teacher.store.manifest.fingerprint["modality"]
    if cached != modality:
        raise StaleCacheError(
            f"folder={str(teacher.folder)!r} is of the modality {cached!r}, and teachers names it "
            f"{modality!r}: use the name that it was built with"
        )


def _check_views(
    teacher: CachedTeacher, modality: str, data: LightningDataModule, max_epochs: int | None
) -> None:
    """Raise where the student sees another crop than the teacher, position by position."""
    manifest = teacher.store.manifest
    if not manifest.augmented:
        return
    is_dense = any(
        len(spec.shape) >= DENSE
        for name, spec in manifest.tensors.items()
        if name == "features" or name.startswith(LOGITS) or getattr(data, "aligned", False)
    )
    epochs = -1 if max_epochs is None else max_epochs
    if is_dense and not 0 <= epochs <= manifest.views:
        raise ValueError(
            f"the {modality} teacher's outputs are maps of views={manifest.views} views, and "
            f"training draws others in each of max_epochs={max_epochs} epochs: build the cache "
            "with as many views as epochs, or switch the augmentation off"
        )
    if not manifest.views:
        rank_zero_info(
            f"training augments {modality!r}: the cached teacher sees the view of evaluation "
            "(views=K stores K training views)"
        )
