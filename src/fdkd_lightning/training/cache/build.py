"""Build a teacher cache, shard by shard; several processes share the work."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn
from tqdm import tqdm

from fdkd_lightning.files.atomic_write import atomic_write, remove_partial_files
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.training.cache.augmentation import is_augmented
from fdkd_lightning.training.cache.cache_store import (
    MANIFEST,
    Manifest,
    TensorSpec,
    describe_shards,
    write_manifest,
)
from fdkd_lightning.training.cache.claims import batch_loader, build_shards
from fdkd_lightning.training.cache.fingerprint import (
    Fingerprint,
    data_fingerprint,
    digest_of,
    sample_ids,
    sample_keys,
    teacher_fingerprint,
    version_fingerprint,
)
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.shard import INDEX, Shard
from fdkd_lightning.training.cache.shard_plan import (
    Section,
    ShardPlan,
    plan_shards,
    rows_per_shard,
    sections_of,
)
from fdkd_lightning.training.cache.teacher_run import TeacherRun
from fdkd_lightning.types import Batch

PLAN = "plan.json"


def build_cache(
    network: nn.Module,
    modality: str,
    data: LightningDataModule,
    settings: TeacherCache,
    trainer: Trainer,
    read: Callable[[Any], Batch] = lambda batch: batch,
    progress: bool = True,
) -> Path:
    """Store a teacher's outputs for the training and validation samples, unless they are there.

    What exists is kept: a build that was killed is continued by the next call with the same
    arguments, with the same result bit by bit. Processes that build the same cache at once, such as
    the ranks of DDP, share its shards.

    Args:
        network: The teacher; its weights are read if they were not.
        modality: Its modality.
        data: A data module that is set up for ``"fit"``.
        settings: Where and how outputs are stored.
        trainer: Its precision and device are those of the teacher.
        read: Returns modalities, ``index`` and ``present`` of a batch.
        progress: Show a progress bar.

    Returns:
        The teacher's folder in ``settings.folder``.

    Raises:
        KeyError: If batches have no ``index``, or not the modality.
        ValueError: If an output is not finite, or two samples have one id.

    Example:
        >>> import tempfile, torch
        >>> from fdkd_lightning import FeatureModel, MultimodalDataModule
        >>> class Sounds(MultimodalDataModule):
        ...     available_modalities = ("audio",)
        ...     def make_dataset(self, split):
        ...         first = ("train", "val", "test").index(split) * 100
        ...         return [{"audio": torch.ones(4), "index": first + i} for i in range(6)]
        >>> data = Sounds(batch_size=3)
        >>> data.setup("fit")
        >>> network = FeatureModel(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
        >>> trainer = Trainer(accelerator="cpu", logger=False)
        >>> settings = TeacherCache(tempfile.mkdtemp())
        >>> folder = build_cache(network, "audio", data, settings, trainer, progress=False)
        >>> folder.name.partition("-")[0]
        'audio'
    """
    with isolate_rng():
        return _build(TeacherRun(network, modality, data, trainer, settings, read), progress)


def _build(run: TeacherRun, progress: bool) -> Path:
    settings, data = run.settings, run.data
    load_pretrained(run.network)
    sections = sections_of(data, settings.views)
    fingerprint = cache_fingerprint(run, sections)
    folder = settings.path / f"{run.modality}-{digest_of(fingerprint)}"
    if (folder / MANIFEST).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial_files(folder)
    with run.ready():
        plan = _plan(run, sections, folder)
        shards = plan_shards(sections, plan["shard_rows"])
        total = sum(shard.stop - shard.start for shard in shards)
        with tqdm(total=total, unit="sample", desc=folder.name, disable=not progress) as bar:
            build_shards(run, shards, folder, plan["batch_size"], bar)
        _finish(folder, shards, run, sections, fingerprint)
    return folder


def cache_fingerprint(run: TeacherRun, sections: Sequence[Section]) -> Fingerprint:
    """Return the fingerprint of the cache that would be built."""
    settings = run.settings
    samples = hashlib.sha256()
    for section in sections:
        if section.view > 1:
            continue
        ids = sample_ids(section.dataset)
        samples.update(f"{section.split} {len(section.dataset)}".encode())
        samples.update(b"" if ids is None else ids.tobytes())
        positions = range(len(section.dataset))
        samples.update(sample_keys(section.dataset, run.modality, positions).tobytes())
    return {
        "modality": run.modality,
        **teacher_fingerprint(run.network),
        **data_fingerprint(run.data, run.modality, seed_matters=settings.views > 0),
        "data.samples": samples.hexdigest()[:16],
        "output.dtype": settings.dtype,
        "output.maps": settings.maps,
        "output.precision": str(run.trainer.precision),
        "output.views": settings.views,
        # Without it caches of earlier versions keep their digest.
        **({"output.top_k": settings.top_k} if settings.top_k else {}),
        **version_fingerprint(),
    }


def _plan(run: TeacherRun, sections: Sequence[Section], folder: Path) -> dict[str, int]:
    """Return batch size and rows of a shard, which the first process chooses for all."""
    path = folder / PLAN
    with FileLock(folder / ".plan.lock"):
        if not path.is_file():
            batch_size = sections[0].loader.batch_size or 64
            first = ShardPlan(0, sections[0], 0, 1).batches(batch_size)
            [batch] = batch_loader(sections[0], first)
            rows = run(batch, sections[0].view, 0)
            row_bytes = sum(x[0].nbytes for x in rows.outputs.values())
            plan = {"batch_size": batch_size, "shard_rows": rows_per_shard(row_bytes, batch_size)}
            with atomic_write(path, "w") as file:
                json.dump(plan, file)
        return read_json(path, f"delete the folder {folder}, and build it again")


def _finish(
    folder: Path,
    shards: Sequence[ShardPlan],
    run: TeacherRun,
    sections: Sequence[Section],
    fingerprint: Fingerprint,
) -> None:
    with FileLock(folder / ".finish.lock"):
        if not (folder / MANIFEST).is_file():
            write_manifest(folder, _manifest(folder, shards, run, sections, fingerprint))
    # A process that waits for one of them finds the shard it wanted.
    for path in folder.glob(".*.lock"):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _manifest(
    folder: Path,
    shards: Sequence[ShardPlan],
    run: TeacherRun,
    sections: Sequence[Section],
    fingerprint: Fingerprint,
) -> Manifest:
    files = {shard: Shard(folder / shard.name) for shard in shards}
    ids = {
        split: np.concatenate(
            [file.column(INDEX) for shard, file in files.items() if shard.of(split, most=1)]
        )
        for split in dict.fromkeys(section.split for section in sections)
    }
    values, counts = np.unique(ids["train"], return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{counts.max()} training samples have index={int(values[counts.argmax()])}: let the "
            "data give each sample an id that is unique in the whole data set"
        )
    if np.isin(ids.get("val", []), ids["train"]).any():
        rank_zero_info(
            "validation samples have the ids of training samples, and are not cached: let index be "
            "unique over all splits to have the teachers checked"
        )
        del ids["val"]
    kept = [file for shard, file in files.items() if shard.section.split in ids]
    return Manifest(
        fingerprint,
        tensors={
            name: TensorSpec(kept[0].row_shape(name), kept[0].row_dtype(name), dtype)
            for name, dtype in kept[0].identity["computed"].items()
        },
        splits=tuple(ids),
        views=run.settings.views,
        optional=any(file.identity["optional"] for file in kept),
        augmented=is_augmented(run, sections[0]),
        class_names=tuple(getattr(run.network, "class_names", ())),
        shards=describe_shards([file.path for file in kept]),
        classes=kept[0].identity.get("classes", 0),
    )
