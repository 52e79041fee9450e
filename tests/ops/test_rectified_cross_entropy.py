import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.rectified_cross_entropy import rectified_cross_entropy_sum


def inputs(rows: int = 6, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, rows, 5), (4, 5), (4, 5), (4,), (4,)
    return tuple(
        torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes
    )


def fused(target: Tensor, x: Tensor, w: Tensor, v: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return rectified_cross_entropy_sum(x, [w, v], [b, c], target)


def plain(target: Tensor, x: Tensor, w: Tensor, v: Tensor, b: Tensor, c: Tensor) -> Tensor:
    scores = [F.linear(x[0].relu(), w, b), F.linear(x[1].relu(), v, c)]
    return sum((F.cross_entropy(s, target, reduction="sum") for s in scores), start=torch.zeros(()))


@pytest.mark.parametrize("labelled", [6, 2, 0])
def test_value_and_gradients_are_those_of_the_plain_form(labelled: int) -> None:
    target = torch.arange(6) % 4
    target[labelled:] = -100
    values = inputs()
    found, expected = fused(target, *values), plain(target, *values)
    torch.testing.assert_close(found, expected.to(found), rtol=1e-13, atol=1e-13)
    gradients = [torch.autograd.grad(3 * loss, values) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-14)


def test_first_and_second_derivatives_are_right() -> None:
    target = torch.tensor([0, 3, -100])
    values = inputs(3)
    assert torch.autograd.gradcheck(lambda *x: fused(target, *x), values)
    assert torch.autograd.gradgradcheck(lambda *x: fused(target, *x), values)


def test_frozen_classifiers_pass_the_gradient_of_the_features() -> None:
    target = torch.tensor([0, 3])
    x, *parameters = inputs(2)
    frozen = [p.detach() for p in parameters]
    fused(target, x, *frozen).backward()  # type: ignore[no-untyped-call]  # torch's is untyped
    (expected,) = torch.autograd.grad(plain(target, x, *frozen), x)
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("spoilt", [0, 1])
def test_a_nan_stays_where_it_has_a_label(spoilt: int) -> None:
    x, *parameters = (value.detach() for value in inputs(2))
    x[0, spoilt, 0] = math.nan
    found = fused(torch.tensor([1, -100]), x, *parameters)
    assert found.isnan() == (spoilt == 0)
    assert found.isnan() == plain(torch.tensor([1, -100]), x, *parameters).isnan()


def test_a_label_that_is_no_class_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        fused(torch.tensor([0, 4]), *inputs(2))
