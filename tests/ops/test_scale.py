import pytest
import torch

from fdkd_lightning.ops.scale import in_range


@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])
def test_ordinary_values_keep_every_bit(size: float) -> None:
    x = size * torch.rand(2, 3, 4, 4)
    assert torch.equal(in_range(x, 2, (1, 2, 3)), x)


@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
def test_others_are_divided_by_a_power_of_two_per_sample(exponent: int) -> None:
    x = torch.tensor([[1.0, 3.0], [1.5, 0.5]])
    found = in_range(x * 2.0**exponent, 4, (1,))
    assert torch.equal(found, x / torch.tensor([[4.0], [2.0]]))


def test_zeros_and_what_is_not_finite_stay() -> None:
    x = torch.tensor([[0.0, 0.0], [torch.inf, 1.0], [torch.nan, 1.0]])
    assert torch.equal(in_range(x, 4, (1,)).nan_to_num(7.0), x.nan_to_num(7.0))
    assert in_range(x[:0], 4, (1,)).shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_product_with_a_power_of_2_is_ldexp_bit_by_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    exponents = torch.arange(-140, 120, 4)[:, None]
    x = torch.ldexp(torch.randn(65, 9, generator=generator, dtype=dtype), exponents)
    shift = -torch.frexp(x.abs().amax(1, keepdim=True)).exponent
    expected = torch.where(shift.abs() * 2 <= 60, x, torch.ldexp(x, shift.clamp(-120, 120)))
    assert torch.equal(in_range(x, 1, (1,)), expected)
