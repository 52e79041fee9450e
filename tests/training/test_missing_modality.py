from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.training.missing_modality import (
    present_mask,
    samples_with,
    select,
    zero_gradient_term,
)
from fdkd_lightning.types import Output

HAS = torch.tensor([True, False, True])


def batch(present: dict[str, Tensor] | None = None) -> dict[str, Any]:
    entries = {"visual": torch.arange(6.0).view(3, 2), "label": torch.tensor([4, 5, 6])}
    return entries if present is None else entries | {"present": present}


def test_without_missing_samples_there_is_no_mask() -> None:
    assert present_mask(batch(), "visual") is None
    assert present_mask(batch({"audio": HAS}), "visual") is None
    assert present_mask(batch({"audio": HAS | True}), "audio") is None
    assert present_mask(batch({"audio": HAS}), "audio") is HAS
    numbers = present_mask(batch({"audio": HAS.long()}), "audio")
    assert numbers is not None
    assert torch.equal(numbers, HAS)


def test_a_complete_batch_is_returned_itself() -> None:
    for whole in (batch(), batch({"audio": HAS | True}), batch({"text": HAS})):
        assert samples_with(whole, "audio") is whole


def test_samples_without_a_modality_are_left_out_of_everything() -> None:
    present = {"audio": HAS, "text": torch.tensor([False, True, True])}
    left = samples_with(batch(present) | {"id": ["a", "b", "c"]}, "audio")
    assert left["visual"].tolist() == [[0, 1], [4, 5]]
    assert left["label"].tolist() == [4, 6]
    assert left["id"] == ["a", "c"]
    assert {name: has.tolist() for name, has in left["present"].items()} == {
        "audio": [True, True],
        "text": [False, True],
    }


def test_samples_of_each_kind_of_input_are_selected() -> None:
    maps = torch.arange(24).view(3, 2, 2, 2)
    assert torch.equal(select(maps, HAS), maps[[0, 2]])
    assert select(["so", "", "ja"], HAS) == ["so", "ja"]
    waves = [torch.ones(n) for n in (3, 4, 5)]
    assert [len(wave) for wave in select(waves, HAS)] == [3, 5]
    tokens = select({"ids": maps[:, 0, 0], "mask": HAS, "more": {"text": ["a", "b", "c"]}}, HAS)
    assert tokens["ids"].tolist() == [[0, 1], [16, 17]]
    assert tokens["mask"].tolist() == [True, True]
    assert tokens["more"] == {"text": ["a", "c"]}
    left, right = select((maps, maps + 1), HAS)
    assert torch.equal(right - left, torch.ones_like(left))
    nothing = select(maps, torch.zeros(3, dtype=torch.bool))
    assert nothing.shape == (0, 2, 2, 2)


def test_all_parts_of_an_output_are_selected() -> None:
    rows = torch.arange(3.0)
    dense = rows.view(3, 1, 1, 1).expand(3, 2, 4, 5)
    output = Output(dense, dense, (dense, dense[:, :1]), rows, rows.view(3, 1, 1).expand(3, 4, 5))
    taken = select(output, HAS)
    assert isinstance(taken, Output)
    assert [tuple(stage.shape) for stage in taken.maps] == [(2, 2, 4, 5), (2, 1, 4, 5)]
    for part in (taken.features, taken.logits, *taken.maps, taken.index, taken.label):
        assert part is not None
        assert part.flatten(0).unique().tolist() == [0, 2]
    bare = select(Output(dense, dense), HAS)
    assert (bare.maps, bare.index, bare.label) == ((), None, None)


def test_only_selected_samples_get_a_gradient() -> None:
    x = torch.ones(3, 2, requires_grad=True)
    select(x, HAS).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_an_entry_without_samples_is_an_error() -> None:
    pair = [torch.ones(3, 2), torch.ones(3, 2)]
    with pytest.raises(ValueError, match=r"audio\['raw'\] is a list of 2 entries in a batch of 3"):
        select({"raw": pair}, HAS, "audio")
    with pytest.raises(TypeError, match=r"note is of type str, .* tensors"):
        samples_with(batch({"audio": HAS}) | {"note": "abc"}, "audio")


def test_the_zero_has_a_zero_gradient_even_where_values_are_infinite() -> None:
    layer = nn.Linear(2, 3)
    layer.bias.requires_grad_(False)
    scalar = nn.Parameter(torch.tensor(float("nan")))
    layer.register_parameter("scalar", scalar)
    nn.init.constant_(layer.weight, float("inf"))
    zero = zero_gradient_term(layer)
    zero.backward()
    assert zero.item() == 0
    assert layer.weight.grad is not None
    assert layer.weight.grad.count_nonzero() == 0
    assert scalar.grad is not None
    assert scalar.grad.item() == 0
    assert layer.bias.grad is None
    assert zero_gradient_term(nn.Linear(2, 3).requires_grad_(False)).item() == 0
