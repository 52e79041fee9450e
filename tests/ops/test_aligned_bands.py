import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler, HaarDecoupler
from fdkd_lightning.decoupler.base import OrthogonalDecoupler
from fdkd_lightning.losses.band_comparison import BandComparison
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.standardizer import UnitLength
from fdkd_lightning.ops import compare_bands, linear_split
from fdkd_lightning.ops.aligned_bands import aligned_bands

Terms = Callable[..., tuple[Tensor, ...]]


def inputs(rows: int = 6, classes: int = 4) -> tuple[Tensor, ...]:
    """Features of student and teacher, weights and biases."""
    generator = torch.Generator().manual_seed(0)
    shapes = (rows, 9), (rows, 9), (classes, 9), (classes, 9), (classes,), (classes,)
    x, y, *parameters = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes
    )
    return (x + 5).requires_grad_(), y, *(p.requires_grad_() for p in parameters)


def forms(target: Tensor, decoupler: OrthogonalDecoupler | None = None) -> tuple[Terms, Terms]:
    """The one function, and the parts."""
    split = decoupler or FrequencyDecoupler()
    compare = BandComparison(split, nn.MSELoss(), LogMSELoss(), UnitLength())
    plain = partial(compare.part_by_part, labelled=None, with_bands=True)

    def fused(x: Tensor, y: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        w, v, b, c = parameters
        return aligned_bands(x, y, split.low_part(9), target, (w, v, b, c), plain)

    def parts(x: Tensor, y: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        low, high, bands = plain(x, y)
        both, count = torch.cat([target, target]), int((target != -100).sum())
        total = sum(
            F.cross_entropy(F.linear(band.relu(), w, b), both, reduction="sum")
            for band, w, b in zip(bands, parameters[:2], parameters[2:], strict=True)
        )
        return low, high, total / max(count, 1)

    return fused, parts


@pytest.mark.parametrize("decoupler", [FrequencyDecoupler(), HaarDecoupler()], ids=str)
@pytest.mark.parametrize("largest", [0, 256])
@pytest.mark.parametrize(("chunk", "labelled"), [(20, 6), (2**15, 6), (2**15, 2), (2**15, 0)])
def test_values_and_gradients_are_those_of_the_parts(
    decoupler: OrthogonalDecoupler,
    largest: int,
    chunk: int,
    labelled: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear_split, "LARGEST_MATRIX", largest)
    monkeypatch.setattr(compare_bands, "CHUNK", chunk)
    target = torch.arange(6) % 4
    target[labelled:] = -100
    values = inputs()
    sources = [x for x in values if x.requires_grad]
    results = []
    for form in forms(target, decoupler):
        terms = form(*values)
        total = 2 * terms[0] + 3 * terms[1] + 5 * terms[2]
        results.append([*terms, *torch.autograd.grad(total, sources)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


def test_first_and_second_derivatives_are_right() -> None:
    x, y, *parameters = inputs(3)
    fused, _ = forms(torch.tensor([0, 3, -100]))

    def of_all(*values: Tensor) -> tuple[Tensor, ...]:
        return fused(values[0], y, *values[1:])

    assert torch.autograd.gradcheck(of_all, (x, *parameters))
    assert torch.autograd.gradgradcheck(of_all, (x, *parameters))


def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same() -> None:
    target = torch.tensor([0, 3, 1, 1, 2, 0])
    x, y, *parameters = inputs()
    fused, _ = forms(target)
    expected = torch.autograd.grad(sum(fused(x, y, *parameters)), [x, *parameters])
    frozen = [p.detach() for p in parameters]
    (by_features,) = torch.autograd.grad(sum(fused(x, y, *frozen)), x)
    by_parameters = torch.autograd.grad(sum(fused(x.detach(), y, *parameters)), parameters)
    for found, its in zip((by_features, *by_parameters), expected, strict=True):
        torch.testing.assert_close(found, its)


def test_the_teacher_gets_no_gradient() -> None:
    x, y, *parameters = inputs()
    y.requires_grad_()
    sum(forms(torch.arange(6) % 4)[0](x, y, *parameters)).backward()  # type: ignore[no-untyped-call]  # torch's is untyped
    assert y.grad is None
    assert x.grad is not None


def test_one_term_alone_has_its_own_gradient() -> None:
    values = inputs()
    for number in range(3):
        gradients = [
            torch.autograd.grad(form(*values)[number], values[0])[0]
            for form in forms(torch.arange(6) % 4)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("spoilt", [0, 1])
def test_a_nan_reaches_the_classifiers_where_it_has_a_label(spoilt: int) -> None:
    x, *others = (value.detach() for value in inputs(2))
    x[spoilt, 0] = math.nan
    found, expected = (form(x, *others) for form in forms(torch.tensor([1, -100])))
    assert [t.isnan().item() for t in found] == [True, True, spoilt == 0]
    assert [t.isnan().item() for t in expected] == [True, True, spoilt == 0]


@pytest.mark.parametrize("label", [4, -1])
def test_a_label_that_is_no_class_is_an_error(label: int) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        forms(torch.tensor([0, label]))[0](*inputs(2))


def test_a_second_backward_pass_needs_a_retained_graph() -> None:
    x, y, *parameters = inputs()
    total = sum(forms(torch.arange(6) % 4)[0](x, y, *parameters))
    first, second = (torch.autograd.grad(total, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    torch.autograd.grad(total, x)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(total, x)


def test_a_weight_that_is_changed_before_the_backward_pass_is_an_error() -> None:
    x, y, *parameters = inputs()
    total = sum(forms(torch.arange(6) % 4)[0](x, y, *parameters))
    with torch.no_grad():
        parameters[0].mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        torch.autograd.grad(total, x)


def test_a_backward_pass_under_autocast_rounds_nothing() -> None:
    x, y, *parameters = (value.detach().float() for value in inputs())
    parameters = [p.requires_grad_() for p in parameters]
    sources = [x.requires_grad_(), *parameters]
    fused, _ = forms(torch.arange(6) % 4)
    expected = torch.autograd.grad(sum(fused(x, y, *parameters)), sources)
    total = sum(fused(x, y, *parameters))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(total, sources, retain_graph=True)
        twice = torch.autograd.grad(total, sources, create_graph=True)
    for gradient, other, its in zip(found, twice, expected, strict=True):
        assert torch.equal(gradient, its)
        torch.testing.assert_close(other, its, rtol=1e-5, atol=1e-6)
