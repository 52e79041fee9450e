import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from recordings import Pairs, Teacher, build

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.training.cache.cached_teacher import (
    CachedTeacher,
    teacher_input,
    teacher_present,
    with_presence,
)
from fdkd_lightning.training.cache.fingerprint import StaleCacheError
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.types import Output

IDS = torch.tensor([104, 503, 100])


def opened(folder: Path, **settings: Any) -> CachedTeacher:
    teacher = CachedTeacher(folder, folder.name.rpartition("-")[2], **settings)
    teacher.load()
    return teacher


def live(view: float = 0.0) -> Any:
    data = Pairs()
    data.setup("fit")
    by_id = {int(s["index"]): s["audio"] for d in data.datasets.values() for s in d}  # type: ignore[attr-defined]  # iterable
    shift = torch.tensor([[view], [0.0], [view]])
    x = torch.stack([by_id[int(i)] for i in IDS]) + shift
    with torch.no_grad():
        # In a batch of four, as it is built: the last bits may depend on the size.
        output = Teacher()(torch.cat([x, x[:1]]))
    return Output(output.features[:3], output.logits[:3], tuple(y[:3] for y in output.maps))


def test_outputs_are_the_teacher_s_bit_by_bit(tmp_path: Path) -> None:
    output, expected = opened(build(tmp_path, maps=True))(IDS), live()
    torch.testing.assert_close(output.features, expected.features, rtol=0, atol=0)
    torch.testing.assert_close(output.logits, expected.logits, rtol=0, atol=0)
    torch.testing.assert_close(output.maps, expected.maps, rtol=0, atol=0)
    assert output.index is None
    assert not output.features.requires_grad
    assert opened(build(tmp_path))(IDS).maps == ()


def test_half_precision_rounds_within_the_stated_bound(tmp_path: Path) -> None:
    output, expected = opened(build(tmp_path, dtype="float16"))(IDS), live()
    assert output.features.dtype == torch.float32
    torch.testing.assert_close(output.features, expected.features, rtol=2**-11, atol=2**-25)
    assert not torch.equal(output.features, expected.features)


def test_each_epoch_has_its_view_and_validation_the_one_of_evaluation(tmp_path: Path) -> None:
    teacher = opened(build(tmp_path, Pairs(drawn=True), views=2))
    for epoch, shift in ((0, 1.0), (1, 2.0), (2, 1.0), (None, 1.0)):
        teacher.set_epoch(epoch)
        torch.testing.assert_close(teacher(IDS).features, live(shift).features)


def test_a_cache_of_another_fingerprint_or_network_says_what_differs(tmp_path: Path) -> None:
    folder = build(tmp_path)
    with pytest.raises(StaleCacheError, match=r"has fingerprint \w{16}, not 00: it is of \w*"):
        CachedTeacher(folder, "00").load()
    CachedTeacher(folder, network=Teacher()).load()
    with pytest.raises(StaleCacheError, match=r"is of something else \(teacher.weights: "):
        CachedTeacher(folder, network=Teacher(seed=1)).load()


def test_it_is_opened_with_other_weights_and_copied_without_its_rows(tmp_path: Path) -> None:
    folder = build(tmp_path)
    teacher = CachedTeacher(folder, network=Teacher())
    assert list(teacher.parameters()) == []
    load_pretrained(teacher)
    assert torch.equal(copy.deepcopy(teacher)(IDS).features, teacher(IDS).features)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"folder": 3, "fingerprint": "a"}, "folder=3 must be the path"),
        ({"folder": "c"}, "give the fingerprint that fdkd cache has printed"),
        ({"folder": "c", "fingerprint": 7}, "fingerprint=7 must be a text"),
        ({"folder": "c", "network": "resnet18"}, "network='resnet18'"),
    ],
)
def test_bad_arguments_are_named(bad: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        CachedTeacher(**bad)


@pytest.mark.parametrize("bad", [None, [1], torch.tensor([1.0]), torch.tensor([[1]])])
def test_what_is_no_index_is_refused(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"index=.* must be the samples' ids, \[N\] int64"):
        opened(build(tmp_path))(bad)


def test_its_input_is_the_index_and_others_theirs() -> None:
    cached, batch = CachedTeacher("c", "f"), {"audio": torch.ones(1), "index": torch.zeros(1)}
    assert teacher_input(cached, batch, "audio") is batch["index"]
    assert teacher_input(Teacher(), batch, "audio") is batch["audio"]
    with pytest.raises(KeyError, match="no 'index', by which the audio teacher's cache is read"):
        teacher_input(cached, {"audio": 0}, "audio")


def test_the_cache_says_who_lacks_the_modality_where_the_batch_does_not(tmp_path: Path) -> None:
    folder = build(tmp_path, Pairs(lacking=4))
    teacher, batch = opened(folder), {"index": IDS}
    lacks = torch.tensor([False, True, False])  # 104 and 100 are each a fourth
    assert torch.equal(with_presence({"audio": teacher}, batch)["present"]["audio"], lacks)
    mask = teacher_present(teacher, batch, "audio")
    assert mask is not None
    assert torch.equal(mask, lacks)
    given = {**batch, "present": {"audio": torch.ones(3, dtype=torch.bool)}}
    assert with_presence({"audio": teacher}, given) is given
    outputs = FrozenTeachers({"audio": teacher})(batch)
    torch.testing.assert_close(outputs["audio"].features, live().features[1:2])
    complete = opened(build(tmp_path))
    assert with_presence({"audio": complete}, batch) is batch


def test_it_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match=r"teachers\['audio'\] is a CachedTeacher"):
        TrainedTeachers({"audio": CachedTeacher("c", "f")})
