from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fdkd_lightning.data.preparation.recipe import TextRecipe
from fdkd_lightning.data.transforms.spectrograms import LogMelSpectrogram
from fdkd_lightning.training.cache.describe import describe, tensor_sum


def scaled(value: float) -> nn.Module:
    module = nn.Sequential(nn.Linear(1, 1))
    nn.init.constant_(module[0].weight, value)
    nn.init.zeros_(module[0].bias)
    return module


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"b": 1}),
        (torch.zeros(2), torch.ones(2)),
        (np.zeros(2), np.ones(2)),
        (nn.Dropout(0.1), nn.Dropout(0.2)),
        (scaled(1.0), scaled(2.0)),
        (LogMelSpectrogram(8000, n_fft=512), LogMelSpectrogram(8000, n_fft=256)),
        (len, max),
        ({1, 2}, {1, 3}),
    ],
)
def test_what_differs_is_described_differently(one: Any, other: Any) -> None:
    assert describe(one) == describe(one)
    assert describe(one) != describe(other)


def test_equal_settings_are_described_alike_wherever_they_are() -> None:
    assert describe(scaled(3.0)) == describe(scaled(3.0))
    assert describe(TextRecipe()) == describe(TextRecipe())
    assert describe(Path("a")) == describe(Path("b"))
    assert describe(nn.Dropout(0.1).train()) == describe(nn.Dropout(0.1).eval())


def test_an_object_that_holds_itself_is_described_all_the_same() -> None:
    class Ring:
        def __init__(self) -> None:
            self.next = self

    assert describe(Ring()) == describe(Ring())


def test_the_sum_of_tensors_sees_dtype_shape_name_and_value() -> None:
    x = torch.ones(2, 2, dtype=torch.bfloat16)
    others = [{"b": x}, {"a": x.float()}, {"a": x.flatten()}, {"a": 2 * x}, {"a": x[:0]}, {}]
    sums = {tensor_sum(t) for t in [{"a": x}, *others]}
    assert len(sums) == 1 + len(others)
    assert tensor_sum({"a": x.T}) == tensor_sum({"a": x})
