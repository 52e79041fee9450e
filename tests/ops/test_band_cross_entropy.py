import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.band_cross_entropy import band_cross_entropy_sum

TARGET = torch.tensor([2, -100, 0, 1])


def inputs() -> list[Tensor]:
    torch.manual_seed(0)
    shapes = (2, 4, 6), (2, 3, 6), (2, 3)
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def total(bands: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return band_cross_entropy_sum(bands, weight, bias, TARGET, 4)


def test_value_and_gradients_are_those_of_the_parts() -> None:
    bands, weight, bias = inputs()
    learning = 2
    found = band_cross_entropy_sum(bands, weight, bias, TARGET, learning)
    used = torch.cat([bands[:, :learning], bands[:, learning:].detach()], 1)
    expected = sum(
        F.cross_entropy(F.linear(x.relu(), w, b), TARGET, reduction="sum")
        for x, w, b in zip(used, weight, bias, strict=True)
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(3 * x, (bands, weight, bias)) for x in (found, expected)]
    for own, its in zip(*gradients, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-10, atol=1e-12)


def test_first_and_second_derivatives_are_right() -> None:
    assert torch.autograd.gradcheck(total, inputs())
    assert torch.autograd.gradgradcheck(total, inputs())


def test_a_nan_stays_nan() -> None:
    bands, weight, bias = inputs()
    with torch.no_grad():
        bands[0, 0, 0] = torch.nan
    assert total(bands, weight, bias).isnan()


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_is_no_class_is_an_error(label: int) -> None:
    with pytest.raises(IndexError):
        band_cross_entropy_sum(*inputs(), torch.tensor([0, 0, 0, label]), 4)
