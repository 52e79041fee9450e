"""``fdkd cache``: run the teachers of a configuration once, and store their outputs."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import nn

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.training.cache.build import build_cache
from fdkd_lightning.training.cache.cache_store import CacheStore
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.cache.fingerprint import digest_of
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.top_logits import check_top_k
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.parser.exception_text import message_of
from fdkd_lightning.training.teachers import TrainedTeachers
from fdkd_lightning.training.trainer_callbacks import trainer_callbacks
from fdkd_lightning.types import Batch


class CacheBuilder(Trainer):
    """Lightning's trainer with the method behind ``fdkd cache``."""

    def cache(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        folder: str | None = None,
        dtype: Literal["float16", "float32"] | None = None,
        maps: bool | None = None,
        views: int | None = None,
        top_k: int | None = None,
        verify: bool = False,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Run each frozen teacher once, and store its outputs by sample.

        Args:
            model: The module, or one that a DistillationCallback wraps.
            datamodule: The data module; its training and validation samples are stored.
            folder: Folder of caches; None: that of ``model.teacher_cache``, or ``teacher_cache`` in
                the run's folder.
            dtype: ``float32`` is exact, ``float16`` half as large; None: that of
                ``model.teacher_cache``, or ``float32``.
            maps: Store the maps of stages too.
            views: Number of training views of each training sample; 0: that of evaluation.
            top_k: Store the largest k logits of a sample, and one value for the others; 0: all.
            verify: Compare every byte of the caches with its check sum afterwards.
            ckpt_path: Accepted because saved configurations contain it; teachers name their own.
            weights_only: Likewise.
        """
        teachers, read = _teachers_of(model, self)
        root = Path(self.default_root_dir) / "teacher_cache"
        configured = getattr(model, "teacher_cache", None) or TeacherCache(root)
        given = {"folder": folder, "dtype": dtype, "maps": maps, "views": views, "top_k": top_k}
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = TeacherCache(**{**vars(configured), **chosen})
        if isinstance(model, DistillationModule):
            check_top_k(settings.top_k, model.task)
        datamodule.prepare_data()
        datamodule.setup("fit")
        for modality, network in teachers.items():
            if isinstance(network, CachedTeacher):
                load_pretrained(network)
                built = network.folder
            else:
                built = build_cache(network, modality, datamodule, settings, self, read)
            _report(modality, CacheStore(built), verify)


class CacheCLI(FDKDCLI):
    """The command line of ``fdkd cache``, with the arguments of ``fdkd fit``."""

    trainer_type = CacheBuilder
    reads_checkpoint = False

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Name the one command, and its arguments that the configuration gives."""
        return {"cache": {"model", "datamodule"}}


def cache(args: Sequence[str] | None = None) -> None:
    """Run ``fdkd cache``.

    Args:
        args: The arguments, ``cache`` first; None: those of the process.

    Raises:
        SystemExit: With a message, if a teacher cannot be cached.
    """
    try:
        CacheCLI(args)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        raise SystemExit(f"fdkd cache: {message_of(error)}") from error


def _teachers_of(
    model: LightningModule, trainer: Trainer
) -> tuple[Mapping[str, nn.Module], Callable[[Any], Batch]]:
    for callback in trainer_callbacks(trainer):
        if isinstance(callback, DistillationCallback):
            return callback.teachers.given(), callback.inputs.read_ids
    if not isinstance(model, DistillationModule) or not model.teachers:
        raise ValueError(
            f"{type(model).__name__} has no teachers: give the configuration of a distillation"
        )
    if isinstance(model.teachers, TrainedTeachers):
        raise ValueError("train_teachers=True: a cache is of frozen teachers, leave it out")
    return model.teachers.given(), lambda batch: batch


def _report(modality: str, store: CacheStore, verify: bool) -> None:
    if verify:
        print(f"{store.verify()} files of {store.folder} are as they were written")
    if int(os.environ.get("RANK", "0")):
        return
    count = sum(shard.rows for shard in store.shards)
    size = sum(shard.path.stat().st_size for shard in store.shards)
    print(
        f"{modality}: {count:,} rows, {size / 2**20:,.1f} MiB, in {store.folder}\n"
        f"    teachers:\n      {modality}:\n        class_path: fdkd_lightning.CachedTeacher\n"
        f"        init_args: {{folder: {store.folder}, fingerprint: "
        f"{digest_of(store.manifest.fingerprint)}}}"
    )
