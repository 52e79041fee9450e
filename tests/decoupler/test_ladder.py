"""Properties of every split."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import (
    DCTDecoupler,
    Decoupler,
    FrequencyDecoupler,
    HaarDecoupler,
    LearnableFrequencyDecoupler,
    PermutedDecoupler,
    RandomOrthogonalDecoupler,
)


class Row(NamedTuple):
    """A split, and where it may differ from others."""

    name: str
    # Takes dim and keep_dc.
    factory: Callable[..., Decoupler]
    # Its bands are orthogonal subspaces.
    hard: bool = True


def permuted(inner: Callable[..., Decoupler], **options: object) -> Decoupler:
    return PermutedDecoupler(inner(**options), seed=3)


THRESHOLDS = {
    f"{kind.__name__} {name}": partial(kind, threshold=threshold)
    for kind in (
        FrequencyDecoupler,
        DCTDecoupler,
        RandomOrthogonalDecoupler,
        LearnableFrequencyDecoupler,
    )
    for name, threshold in (("1/3", 1 / 3), ("1/2", 1 / 2))
}
PLAIN = THRESHOLDS | {f"HaarDecoupler {n}": partial(HaarDecoupler, levels=n) for n in (1, 2)}
# One that is hard and one that is not: to a permutation all splits are alike.
PERMUTED = {
    f"Permuted{name}": partial(permuted, PLAIN[name])
    for name in ("FrequencyDecoupler 1/2", "LearnableFrequencyDecoupler 1/2")
}
ROWS = [Row(name, factory, "Learnable" not in name) for name, factory in (PLAIN | PERMUTED).items()]
# Odd and even; Haar's blocks of four leave 0, 1, 2 and 3 channels over.
SIZES = [8, 9, 14, 15, 512]
# The shapes and the axis: [N, D] twice, [N, D, H, W], [N, H, W, D], [N, L, D] and [D].
LAYOUTS = [
    ((3, 14), 1),
    ((3, 14), -1),
    ((2, 14, 2, 3), 1),
    ((2, 2, 3, 14), -1),
    ((2, 5, 14), 2),
    ((14,), 0),
]
# One case per split and property: the sizes are looped over inside.
every_split, every_hard_split = (
    pytest.mark.parametrize("row", rows, ids=lambda row: row.name)
    for rows in (ROWS, [row for row in ROWS if row.hard])
)


def features(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(shape, dtype=torch.float64, generator=generator) + 2).to(dtype)


def same(found: Tensor, expected: Tensor, error: float = 1e-11) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=error)


@every_split
def test_nothing_is_lost_and_no_band_is_empty(row: Row) -> None:
    for size, keep_dc in product(SIZES, (False, True)):
        x = features(3, size)
        low, high = row.factory(keep_dc=keep_dc)(x)
        mean = x.mean(1, keepdim=True)
        same(low + high, x if keep_dc else x - mean)
        same(low.mean(1, keepdim=True), mean if keep_dc else torch.zeros_like(mean))
        same(high.mean(1, keepdim=True), torch.zeros_like(mean))
        assert min(low.norm(), high.norm()) > 0.1, size


@every_hard_split
def test_the_bands_share_the_dimensions_without_the_mean(row: Row) -> None:
    for size in (8, 9, 14, 15, 64):
        low, high = (
            int(torch.linalg.matrix_rank(band)) for band in row.factory()(torch.eye(size).double())
        )
        assert low + high == size - 1
        assert min(low, high) >= 1


@every_hard_split
def test_bands_are_orthogonal_and_splitting_one_again_leaves_it_as_it_is(row: Row) -> None:
    for size, keep_dc in product(SIZES, (False, True)):
        decoupler = row.factory(keep_dc=keep_dc)
        bands = decoupler(features(3, size))
        # Of any two vectors.
        same(bands.low @ bands.high.mT, torch.zeros(3, 3, dtype=torch.float64), 1e-10)
        for i, band in enumerate(bands):
            again = decoupler(band)
            same(again[i], band)
            same(again[1 - i], torch.zeros_like(band))


@every_split
def test_a_split_is_linear_and_symmetric(row: Row) -> None:
    for size, keep_dc in product(SIZES, (False, True)):
        x, y = features(2, 3, size)
        both, of_x, of_y = map(row.factory(keep_dc=keep_dc), (2 * x - 3 * y, x, y))
        for band, a, b in zip(both, of_x, of_y, strict=True):
            same(band, 2 * a - 3 * b)
            same(a @ y.mT, x @ b.mT, 1e-9)


@every_split
def test_a_large_mean_costs_no_precision(row: Row) -> None:
    for size, mean in product(SIZES, (1e4, -12345.678)):
        x = features(16, size, dtype=torch.float32) + mean
        decoupler = row.factory()
        for band, exact in zip(decoupler(x), decoupler(x.double()), strict=True):
            same(band.double(), exact, 1e-5)


@every_split
def test_constant_features_have_empty_bands(row: Row) -> None:
    for size, keep_dc, value in product(SIZES, (False, True), (0.0, 0.1, -3.7, 1e4)):
        x = torch.full((2, size), value)
        low, high = row.factory(keep_dc=keep_dc)(x)
        # Far below what `standardize` takes for a signal: 100 steps of the features' norm.
        residue = 10 * torch.finfo(x.dtype).eps * abs(value)
        same(low, x if keep_dc else torch.zeros_like(x), residue)
        same(high, torch.zeros_like(x), residue)


@every_split
def test_every_vector_is_split_alone_along_any_axis(row: Row) -> None:
    for (shape, dim), keep_dc in product(LAYOUTS, (False, True)):
        x = features(*shape)
        bands = row.factory(dim=dim, keep_dc=keep_dc)(x)
        vectors = x.movedim(dim, -1).reshape(-1, shape[dim])
        for band, expected in zip(bands, row.factory(keep_dc=keep_dc)(vectors), strict=True):
            assert band.shape == x.shape
            same(band.movedim(dim, -1).reshape(-1, shape[dim]), expected)


@every_split
def test_any_strides(row: Row) -> None:
    x = features(3, 4, 14)
    for band, expected in zip(row.factory()(x.mT), row.factory(dim=2)(x), strict=True):
        same(band.mT, expected)


@every_split
def test_the_rest_of_the_batch_does_not_matter(row: Row) -> None:
    x, order = features(5, 14), torch.tensor([3, 0, 4, 2])
    for part, whole in zip(row.factory()(x[order]), row.factory()(x), strict=True):
        same(part, whole[order])


@every_split
def test_bands_are_float32_or_what_is_wider(row: Row) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        for keep_dc in (False, True):
            x = features(3, 96, dtype=dtype)
            wide = torch.promote_types(dtype, torch.float32)
            decoupler = row.factory(keep_dc=keep_dc)
            for band, expected, exact in zip(
                decoupler(x), decoupler(x.to(wide)), decoupler(x.double()), strict=True
            ):
                assert band.dtype == wide
                assert torch.equal(band, expected)
                same(band.double(), exact, 1e-5)


@every_split
def test_neither_autocast_nor_a_module_in_bf16_split_in_bf16(row: Row) -> None:
    x = features(3, 96, dtype=torch.float32)
    decoupler = row.factory()
    expected = decoupler(x)
    with torch.autocast("cpu", torch.bfloat16):
        bands = decoupler(x)
    for band, other in zip(bands, expected, strict=True):
        assert band.dtype == torch.float32
        assert torch.equal(band, other)
    for band, other in zip(copy.deepcopy(decoupler).bfloat16()(x), expected, strict=True):
        assert band.dtype == torch.float32
        # The learned cut-off is a parameter, and rounded like others.
        same(band, other, 1e-6 if row.hard else 0.05)


@every_split
def test_gradients(row: Row) -> None:
    for size, keep_dc in ((8, False), (9, True)):
        decoupler = row.factory(keep_dc=keep_dc).double()
        x = features(2, size).requires_grad_()
        # The bands of x, and with it of whatever parameters there are.
        inputs = (x, *decoupler.parameters())
        assert torch.autograd.gradcheck(
            lambda x, *_, decoupler=decoupler: tuple(decoupler(x)), inputs, fast_mode=True
        )


@every_split
def test_a_split_first_used_in_inference_mode_can_be_trained_through(row: Row) -> None:
    # Another size than elsewhere: nothing is cached.
    x = features(2, 21, dtype=torch.float32).requires_grad_()
    decoupler = row.factory()
    with torch.inference_mode():
        expected = decoupler(x)
    bands = decoupler(x)
    sum((band**2).sum() for band in bands).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    for band, other in zip(bands, expected, strict=True):
        same(band, other)


@every_split
def test_copies_split_alike(row: Row) -> None:
    x = features(2, 14)
    for used in (False, True):
        decoupler = row.factory()
        if used:
            decoupler(x)
        state = row.factory()
        state.load_state_dict(decoupler.state_dict())
        for other in (copy.deepcopy(decoupler), pickle.loads(pickle.dumps(decoupler)), state):
            assert repr(other) == repr(decoupler)
            for band, expected in zip(other(x), decoupler(x), strict=True):
                assert torch.equal(band, expected)


@every_split
def test_a_hard_split_has_no_state(row: Row) -> None:
    decoupler = row.factory()
    decoupler(features(2, 14))
    assert not [*decoupler.buffers()]
    assert bool(decoupler.state_dict()) != row.hard


@every_split
def test_neither_the_random_state_nor_the_default_device_matters(row: Row) -> None:
    state = torch.get_rng_state()
    row.factory()(features(2, 22))
    assert torch.equal(torch.get_rng_state(), state)
    decoupler, x = row.factory(), features(2, 23)
    with torch.device("meta"):
        bands = decoupler(x)
    for band, expected in zip(bands, row.factory()(x), strict=True):
        assert torch.equal(band, expected)


@every_split
def test_shapes_are_known_without_values(row: Row) -> None:
    decoupler = row.factory().to("meta")
    for band in decoupler(torch.empty(2, 14, 3, device="meta", dtype=torch.bfloat16)):
        assert (band.shape, band.dtype) == ((2, 14, 3), torch.float32)


@every_split
def test_terms_and_logged_values_are_float32_scalars(row: Row) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        decoupler = row.factory().to(dtype)
        assert (not decoupler.terms()) == (not decoupler.logged_values()) == row.hard
        for value in (*decoupler.terms().values(), *decoupler.logged_values().values()):
            assert (value.shape, value.dtype) == ((), torch.float32)
        assert all(term.requires_grad for term in decoupler.terms().values())
        assert not any(value.requires_grad for value in decoupler.logged_values().values())


@every_split
def test_features_too_small_for_two_bands_are_an_error_whose_remedy_works(row: Row) -> None:
    decoupler = row.factory()
    least = next(d for d in range(1, 99) if splits(decoupler, d))
    assert least > 2
    for size in range(1, min(least, 4)):
        message = rf"features of size {size} .*empty .*: (choose|features)"
        with pytest.raises(ValueError, match=message):
            decoupler(torch.ones(1, size))


def splits(decoupler: Decoupler, size: int) -> bool:
    try:
        decoupler(torch.ones(1, size))
    except ValueError:
        return False
    return True


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_bands() -> None:
    for row in ROWS:
        x, decoupler = features(3, 96), row.factory()
        expected = decoupler(x)
        for band, other in zip(decoupler.cuda()(x.cuda()), expected, strict=True):
            same(band.cpu(), other)
