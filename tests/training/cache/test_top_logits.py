import math
from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import Pairs, Teacher, build, cpu
from small import distilled
from torch import nn

from fdkd_lightning.losses import MultiLabelTask
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.cache.command import CacheBuilder
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.top_logits import restored_logits, top_logits
from fdkd_lightning.training.cache.use import use_caches
from fdkd_lightning.training.teachers import FrozenTeachers

IDS = torch.tensor([104, 503, 100])


class Seven(Teacher):
    """A teacher of seven classes."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.head = nn.Linear(4, 7)


def opened(folder: Path) -> CachedTeacher:
    teacher = CachedTeacher(folder, folder.name.rpartition("-")[2])
    teacher.load()
    return teacher


@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 2, 3)])
def test_probabilities_of_the_largest_are_exact_and_others_share_the_rest(
    shape: tuple[int, ...],
) -> None:
    logits = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    top = top_logits(logits, 3)
    assert top.values.shape[1] == top.classes.shape[1] == 3
    restored = restored_logits(top, 7)
    found, true = restored.softmax(1), logits.softmax(1)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, top.classes, True)
    assert torch.equal(restored[kept], logits[kept])
    torch.testing.assert_close(found[kept], true[kept])
    others = (true * ~kept).sum(1, keepdim=True) / 4
    torch.testing.assert_close(found * ~kept, others * ~kept)


def test_masked_classes_stay_masked() -> None:
    logits = torch.tensor([[2.0, -torch.inf, 1.0, -torch.inf]])
    assert torch.equal(restored_logits(top_logits(logits, 2), 4), logits)


def test_the_cached_teacher_gives_the_rows_and_needs_fewer_bytes(tmp_path: Path) -> None:
    whole, cut = (build(tmp_path, network=Seven(), top_k=k) for k in (0, 2))
    assert whole != cut
    expected, found = opened(whole)(IDS), opened(cut)(IDS)
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.logits, restored_logits(top_logits(expected.logits, 2), 7))
    sizes = [
        sum(np.dtype(spec.stored).itemsize * math.prod(spec.shape) for spec in tensors.values())
        for tensors in (opened(folder).store.manifest.tensors for folder in (whole, cut))
    ]
    assert sizes == [4 * (4 + 7), 4 * (4 + 2 + 2 + 1)]


def test_half_precision_rounds_values_and_not_classes(tmp_path: Path) -> None:
    teacher = opened(build(tmp_path, network=Seven(), top_k=2, dtype="float16"))
    stored = {name: spec.stored for name, spec in teacher.store.manifest.tensors.items()}
    assert stored == {
        "features": "float16",
        "logits.values": "float16",
        "logits.classes": "int32",
        "logits.rest": "float16",
    }
    exact = opened(build(tmp_path, network=Seven(), top_k=2))(IDS).logits
    torch.testing.assert_close(teacher(IDS).logits, exact, rtol=2**-11, atol=2**-25)


def test_more_than_the_teacher_has_and_other_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="top_k=2 of a teacher with 2 classes: give a smaller"):
        build(tmp_path, top_k=2)
    words = r"top_k=1 keeps .* but the task is MultiLabelTask: set it to 0"
    teachers = FrozenTeachers({"audio": opened(build(tmp_path, top_k=1))})
    with pytest.raises(ValueError, match=words):
        use_caches(teachers, None, cpu(), MultiLabelTask())
    trainer = CacheBuilder(accelerator="cpu", logger=False, enable_checkpointing=False)
    module = distilled(task_loss=MultiLabelTask(), teacher_cache=TeacherCache(tmp_path, top_k=1))
    with pytest.raises(ValueError, match=words):
        trainer.cache(module, Pairs())
