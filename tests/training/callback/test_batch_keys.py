from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from fdkd_lightning.training.callback.batch_keys import BatchKey, entry


class Batch(NamedTuple):
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
        (Batch(14, 15), "label", 15),
        (Batch(14, 15), 0, 14),
        (SimpleNamespace(image=16), "image", 16),
    ],
)
def test_what_a_key_leads_to(batch: Any, key: BatchKey, found: int) -> None:
    assert entry(batch, key, "target") == found


def test_a_tensor_is_not_looked_into() -> None:
    x = torch.zeros(3)
    assert entry({"x": x}, "x", "target") is x


@pytest.mark.parametrize(
    ("batch", "key", "message"),
    [
        (
            NESTED,
            "sound",
            "target='sound': there is no 'sound' in the batch's a dict with inp",
        ),
        (NESTED, "inputs.sound", "no 'sound' in the batch's a dict with audio, a.b, a"),
        (NESTED, "list.2", "no '2' in the batch's a list of 2"),
        ([1, 2], "index", "no 'index' in the batch's a list of 2, whose entries are 0 to 1"),
        ((1, 2), "image", "no 'image' in the batch's a tuple of 2, whose entries are 0 to 1"),
        ((1, 2), 2, "target=2: there is no '2' in the batch's a tuple of 2"),
        (torch.zeros(3), "image", "no 'image' in the batch's a Tensor"),
        ({}, "image", "a dict with nothing"),
    ],
)
def test_a_key_that_leads_nowhere_is_told(batch: Any, key: BatchKey, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        entry(batch, key, "target")
