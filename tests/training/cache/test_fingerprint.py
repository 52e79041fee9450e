import copy
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from recordings import Pairs, Teacher
from torch import nn

from fdkd_lightning.data.embedded.watch import Watch
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.cache.fingerprint import (
    data_fingerprint,
    differences,
    digest_of,
    sample_ids,
    sample_keys,
    teacher_fingerprint,
    version_fingerprint,
)


def test_a_teacher_is_the_same_within_a_pretrained_model() -> None:
    net = Teacher()
    assert teacher_fingerprint(net) == teacher_fingerprint(PretrainedModel(net, "absent.ckpt"))


def test_weights_and_structure_of_a_teacher_count() -> None:
    net = Teacher()
    other = copy.deepcopy(net)
    other.head.bias.data[1] += 1e-6
    [line] = differences(teacher_fingerprint(net), teacher_fingerprint(other))
    assert line.startswith("teacher.weights: ")
    other = copy.deepcopy(net)
    other.relu = nn.ReLU()  # type: ignore[assignment]  # another structure
    assert (
        "teacher.structure" in differences(teacher_fingerprint(net), teacher_fingerprint(other))[0]
    )


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"gain": 2.0}, "data.arguments.gain: 1.0 in the cache, 2.0 here"),
        ({"seed": 1}, "data.arguments.seed: 0 in the cache, 1 here"),
        ({"transforms": {"audio": nn.Dropout(0.5)}}, "data.transform: null in the cache"),
        ({"transforms": {"visual": nn.Dropout(0.5)}}, None),
        ({"batch_size": 9}, None),
        ({"modalities": ["visual"]}, None),
    ],
)
def test_arguments_that_change_the_teacher_s_input_differ(changed: Any, part: str | None) -> None:
    first, second = (data_fingerprint(Pairs(**a), "audio", False) for a in ({}, changed))
    found = differences(first, second)
    assert found == [] if part is None else found[0].startswith(part)


def test_a_seed_that_only_chooses_samples_counts_with_drawn_views_alone() -> None:
    class Chooses(Pairs):
        choice_arguments = (*Pairs.choice_arguments, "seed")

    def both(seed_matters: bool) -> list[str]:
        one, two = (data_fingerprint(Chooses(seed=s), "audio", seed_matters) for s in (0, 1))
        return differences(one, two)

    assert both(False) == []
    assert both(True) == ["data.arguments.seed: 0 in the cache, 1 here"]


def test_the_seed_of_watch_counts_for_it_standardises_the_inputs() -> None:
    one, two = (data_fingerprint(Watch(seed=s), "gyroscope", False) for s in (0, 1))
    assert differences(one, two) == ["data.arguments.seed: 0 in the cache, 1 here"]


def test_a_digest_does_not_depend_on_the_order() -> None:
    parts = version_fingerprint()
    assert digest_of(parts) == digest_of(dict(reversed(parts.items())))
    assert digest_of(parts) != digest_of({**parts, "versions.torch": "0"})


def test_ids_and_keys_are_those_that_the_data_set_has() -> None:
    class Samples:
        index = torch.tensor([7, 9])
        ids = ("owl", "cat")
        sources = MappingProxyType({"audio": ["a.npy", ""]})

    assert sample_ids(Samples()) is not None
    assert np.array_equal(sample_ids(Samples()), [7, 9])  # type: ignore[arg-type]  # not None
    keys = sample_keys(Samples(), "audio", [0, 1])
    assert len(np.unique(keys)) == 4
    assert np.array_equal(keys[:, 0], sample_keys(Samples(), "text", [0, 1])[:, 0])
    assert not sample_keys(Samples(), "text", [0, 1])[:, 1].any()
    assert sample_ids([1, 2]) is None
    assert not sample_keys([1, 2], "audio", [0, 1]).any()
