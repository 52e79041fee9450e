import pytest
import torch
from torch import Tensor

from fdkd_lightning.analysis import linear_cka


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_value_by_hand() -> None:
    x = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    y = torch.tensor([[1.0], [-1], [0], [0]], dtype=torch.float64)
    # X'X = 2 I, of norm 2 sqrt(2); Y'Y = 2; Y'X = (2, 0).
    assert linear_cka(x, y) == pytest.approx(4 / (2 * 2**0.5 * 2), abs=1e-12)


def test_rotation_scale_and_offset_do_not_count() -> None:
    x = normal(30, 6)
    rotation, _ = torch.linalg.qr(normal(6, 6))
    assert linear_cka(x, x) == pytest.approx(1, abs=1e-12)
    assert linear_cka(x, 1e9 * x @ rotation + 5) == pytest.approx(1, abs=1e-12)


def test_features_that_vary_in_other_rows_have_none_in_common() -> None:
    x = torch.tensor([[1.0], [-1], [0], [0]])
    y = torch.tensor([[0.0], [0], [1], [-1]])
    assert linear_cka(x, y) == 0


def test_more_features_than_rows_give_what_fewer_give() -> None:
    x, y = normal(10, 4), normal(10, 3).square()
    wide = torch.cat([x, torch.zeros(10, 20)], 1)
    assert linear_cka(wide, y) == pytest.approx(linear_cka(x, y), abs=1e-12)
    assert linear_cka(y, wide) == pytest.approx(linear_cka(x, y), abs=1e-12)


def test_features_that_do_not_vary_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y has shape \[3, 2\], and all rows are the same"):
        linear_cka(normal(3, 2), torch.ones(3, 2))
