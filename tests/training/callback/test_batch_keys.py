from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from fdkd_lightning.training.callback.batch_keys import BatchInputs, BatchKey, entry
from fdkd_lightning.types import Output


class Fields(NamedTuple):
    image: int
    label: int


NESTED = {
    "inputs": {"audio": 1, "a.b": 2, "a": {"c": 3}},
    "list": [4, (5, {"deep": 6})],
    "object": SimpleNamespace(text=7, parts=[8]),
    "0": 9,
    3: 10,
    "x.y": 11,
}


@pytest.mark.parametrize(
    ("batch", "key", "found"),
    [
        (NESTED, "inputs.audio", 1),
        (NESTED, "inputs.a.b", 2),
        (NESTED, "inputs.a.c", 3),
        (NESTED, "list.0", 4),
        (NESTED, "list.1.1.deep", 6),
        (NESTED, "object.text", 7),
        (NESTED, "object.parts.0", 8),
        (NESTED, 0, 9),
        (NESTED, 3, 10),
        (NESTED, "x.y", 11),
        (NESTED, lambda batch: batch["list"][0], 4),
        ((12, 13), 1, 13),
        ([12, 13], "1", 13),
        (Fields(14, 15), "label", 15),
        (Fields(14, 15), 0, 14),
        (SimpleNamespace(image=16), "image", 16),
    ],
)
def test_an_entry_is_found_by_its_key(batch: Any, key: BatchKey, found: int) -> None:
    assert entry(batch, key, "target") == found


def test_a_tensor_is_returned_whole() -> None:
    x = torch.zeros(3)
    assert entry({"x": x}, "x", "target") is x


@pytest.mark.parametrize(
    ("batch", "key", "message"),
    [
        (NESTED, "sound", "target='sound': no entry 'sound' in a dict with inputs, list, object"),
        (NESTED, "inputs.sound", "no entry 'sound' in a dict with audio, a.b, a"),
        (NESTED, "list.2", "no entry '2' in a list with entries 0 to 1"),
        ([1, 2], "index", "no entry 'index' in a list with entries 0 to 1"),
        ((1, 2), "image", "no entry 'image' in a tuple with entries 0 to 1"),
        ((1, 2), 2, "target=2: no entry '2' in a tuple with entries 0 to 1"),
        (torch.zeros(3), "image", "no entry 'image' in a Tensor"),
        ({}, "image", "a dict with nothing"),
    ],
)
def test_a_missing_entry_is_an_error_that_names_those_there_are(
    batch: Any, key: BatchKey, message: str
) -> None:
    with pytest.raises(KeyError, match=message):
        entry(batch, key, "target")


def inputs(target: BatchKey | None = "y", **settings: Any) -> BatchInputs:
    return BatchInputs(["audio"], settings.pop("inputs", {}), target, **settings)


def batch(size: int = 4) -> dict[str, Any]:
    return {
        "audio": torch.ones(size, 8),
        "also": {"sound": -torch.ones(size, 8)},
        "y": torch.arange(size) % 3,
        "id": torch.arange(size),
    }


def student(size: int = 4) -> Output:
    return Output(torch.ones(size, 8), torch.zeros(size, 3))


@pytest.mark.parametrize(("key", "value"), [("audio", 1), ("also.sound", -1)])
def test_each_teacher_gets_its_entry(key: str, value: int) -> None:
    found = inputs(inputs={"audio": key}).teacher_inputs(batch())
    assert found.keys() == {"audio"}
    assert bool((found["audio"] == value).all())


def test_labels_and_ids_are_read_where_they_have_a_key() -> None:
    found = inputs(index="id").read(batch())
    assert found.keys() == {"audio", "label", "index"}
    assert torch.equal(found["label"], batch()["y"])
    assert torch.equal(found["index"], batch()["id"])
    assert inputs(target=None).read(batch()).keys() == {"audio"}


def test_without_labels_each_sample_is_unlabelled() -> None:
    found = inputs(target=None).read_for(student(3), batch(3))
    assert found["label"].tolist() == [-100] * 3
    inputs(target=None).check_labels(found, student(3))
    assert inputs().read_for(student(), batch())["label"].tolist() == [0, 1, 2, 0]


def test_labels_of_another_number_of_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="last ran on 3 samples, but target='y' has 4"):
        inputs().read_for(student(3), batch())


def test_missing_labels_are_an_error_that_names_none() -> None:
    with pytest.raises(KeyError, match=r"target='z': .*; or set target=None, if it has no"):
        inputs("z").read(batch())


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("audio", TypeError, "target='audio': .* int64 tensor of classes, .*; or set target=None"),
        ("id", ValueError, "target='id': the batch's 'label' ranges from 0 to 3, .*target=None"),
    ],
)
def test_labels_that_are_no_classes_are_an_error(
    target: str, error: type[Exception], message: str
) -> None:
    checked = inputs(target)
    with pytest.raises(error, match=message):
        checked.check_labels(checked.read_for(student(), batch()), student())


def test_the_input_of_no_teacher_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"names 'sound', but the teachers are audio: use the"):
        inputs(inputs={"sound": 1})
