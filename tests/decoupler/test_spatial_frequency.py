from itertools import product

import numpy as np
import pytest
import torch

from fdkd_lightning.decoupler import SpatialFrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss, LayerwiseLoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.types import Output

SIZES = [(8, 8), (5, 6), (7, 9), (1, 12), (2, 5)]


@pytest.mark.parametrize(("size", "keep_dc"), [*product(SIZES, (False, True))])
def test_the_low_band_is_a_rectangle_of_the_shifted_spectrum(
    size: tuple[int, int], keep_dc: bool
) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64) + 5
    threshold = 0.6
    low, high = SpatialFrequencyDecoupler(threshold, keep_dc)(x)
    spectrum = np.fft.fft2(x.numpy())
    kept = np.zeros(size, dtype=bool)
    for i, j in product(*map(range, size)):
        ky, kx = (min(k, n - k) for k, n in zip((i, j), size, strict=True))
        cuts = [np.floor(threshold * (n // 2)) for n in size]
        kept[i, j] = ky <= cuts[0] and kx <= cuts[1] and (keep_dc or ky + kx > 0)
    expected = torch.from_numpy(np.fft.ifft2(spectrum * kept).real)
    torch.testing.assert_close(low, expected, rtol=0, atol=1e-12)
    rest = x if keep_dc else x - x.mean((2, 3), keepdim=True)
    torch.testing.assert_close(low + high, rest, rtol=0, atol=1e-12)
    assert low.any()
    assert high.any()


def test_waves_are_told_apart_by_their_length() -> None:
    place = torch.arange(16) * 2 * torch.pi / 16
    slow, fast = (place * 2).cos()[:, None].expand(16, 16), (place * 7).cos().expand(16, 16)
    low, high = SpatialFrequencyDecoupler(0.5)((slow + fast)[None, None])
    torch.testing.assert_close(low[0, 0], slow, rtol=0, atol=1e-6)
    torch.testing.assert_close(high[0, 0], fast, rtol=0, atol=1e-6)


def test_gradients_and_precision() -> None:
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    split = SpatialFrequencyDecoupler()
    assert torch.autograd.gradcheck(lambda x: tuple(split(x)), (x,), fast_mode=True)
    half = x.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        bands = split(half)
    assert all(torch.equal(*pair) for pair in zip(bands, split(half.float()), strict=True))
    assert not split(torch.zeros(0, 2, 4, 5)).low.numel()


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((2, 8), r"\[2, 8\]: give \[N, D, H, W\]"),
        ((2, 8, 3, 3), "give maps of at least 4 pixels along an axis"),
        ((2, 8, 0, 4), "without values"),
    ],
)
def test_maps_without_two_bands_are_refused(shape: tuple[int, ...], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        SpatialFrequencyDecoupler()(torch.zeros(shape))


def test_the_suggested_threshold_works() -> None:
    x = torch.randn(1, 1, 7, 9)
    with pytest.raises(ValueError, match=r"choose a threshold from 0\.25 to below 1"):
        SpatialFrequencyDecoupler(0.2)(x)
    assert SpatialFrequencyDecoupler(0.25)(x).low.any()


def test_fdkd_compares_the_bands_per_level() -> None:
    maps = [
        tuple(torch.randn(2, d, *size, requires_grad=True) for size in ((8, 8), (4, 5)))
        for d in (6, 8)
    ]
    student, teacher = (Output(stages[0], torch.randn(2, 3, 16, 16), stages) for stages in maps)
    target = torch.randint(3, (2, 16, 16))
    target[1] = -100
    fdkd = FDKDLoss(SpatialFrequencyDecoupler(), SharedAlignmentHead())
    loss = LayerwiseLoss(fdkd, stages=[0, 1], positions="resize")
    loss.build(student, teacher)
    terms = loss(student, teacher, target)
    assert [*terms] == [f"stage{i}/{name}" for i in (0, 1) for name in ("low", "high", "align")]
    sum(terms.values()).backward()
    assert all(stage.grad is not None and stage.grad.any() for stage in student.maps)
    # Dense shared heads see labelled pixels only.
    empty = loss(student, teacher, torch.full_like(target, -100))
    assert empty["stage0/align"] == empty["stage1/align"] == 0
