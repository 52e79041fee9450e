import pytest
import torch
from torch import Tensor

from fdkd_lightning.models.token_pooling import Pooling, as_map, blank, pool_tokens

# Two sequences of four tokens; the padding is huge, so that any part of it would show.
HIDDEN = torch.tensor(
    [
        [[1.0, -1.0], [2.0, 5.0], [6.0, 2.0], [9e9, 9e9]],
        [[9e9, 9e9], [3.0, 4.0], [5.0, 0.0], [7.0, 5.0]],
    ]
)
MASK = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]]).bool()
EXPECTED: list[tuple[Pooling, list[list[float]]]] = [
    ("cls", [[1, -1], [3, 4]]),
    ("mean", [[3, 2], [5, 3]]),
    ("last", [[6, 2], [7, 5]]),
]


@pytest.mark.parametrize(("pooling", "expected"), EXPECTED)
def test_padding_on_either_side_has_no_part(pooling: Pooling, expected: list[list[float]]) -> None:
    assert pool_tokens(HIDDEN, MASK, pooling).tolist() == expected


@pytest.mark.parametrize(("pooling", "place"), [("cls", 0), ("last", 3)])
def test_without_a_mask_all_tokens_count(pooling: Pooling, place: int) -> None:
    assert torch.equal(pool_tokens(HIDDEN, None, pooling), HIDDEN[:, place])
    assert torch.equal(pool_tokens(HIDDEN, None, "mean"), HIDDEN.sum(1) / 4)


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_padding_gets_no_gradient(pooling: Pooling) -> None:
    hidden = HIDDEN.clone().requires_grad_()
    pool_tokens(hidden, MASK, pooling).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad[~MASK].eq(0).all()
    assert torch.equal(hidden.grad.sum((0, 1)), torch.tensor([2.0, 2.0]))


def test_a_mean_over_no_token_is_zero_and_finite_where_padding_is_not() -> None:
    hidden = torch.full((1, 2, 3), torch.nan)
    assert pool_tokens(hidden, torch.zeros(1, 2).bool(), "mean").tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_mean_keeps_the_type_and_does_not_overflow(dtype: torch.dtype) -> None:
    # 2000 times 100 is beyond float16, whose largest number is 65504.
    mean = pool_tokens(torch.full((1, 2000, 1), 100.0, dtype=dtype), None, "mean")
    assert mean.dtype == dtype
    assert mean.item() == 100


def test_tokens_are_the_places_of_one_row() -> None:
    row = as_map(HIDDEN, MASK)
    assert row.shape == (2, 2, 1, 4)
    assert row[0, :, 0].tolist() == [[1, 2, 6, 0], [-1, 5, 2, 0]]
    assert row[1, 1].tolist() == [[0, 4, 0, 5]]


def test_without_a_mask_nothing_is_blanked() -> None:
    assert blank(HIDDEN, None) is HIDDEN
    places: Tensor = as_map(HIDDEN, None)
    assert torch.equal(places.squeeze(2).mT, HIDDEN)
