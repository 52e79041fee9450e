import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.ops import compare_bands as module
from fdkd_lightning.ops.linear_split import LinearSplit


def by_hand(student: np.ndarray, teacher: np.ndarray, cutoff: int) -> list[float]:
    """Eq. 1-9 of vectors [N, D], written down with numpy."""
    units = []
    for x in (student, teacher):
        spectrum, bins = np.fft.rfft(x), np.arange(x.shape[1] // 2 + 1)
        for kept in ((bins >= 1) & (bins <= cutoff), bins > cutoff):
            band = np.fft.irfft(spectrum * kept, n=x.shape[1])
            band -= band.mean(1, keepdims=True)
            units.append(band / np.linalg.norm(band, axis=1, keepdims=True))
    low, high, low_teacher, high_teacher = units
    logarithms = [np.sign(x) * np.log1p(np.abs(x)) for x in (high, high_teacher)]
    return [
        float(((low - low_teacher) ** 2).mean()),
        float(((logarithms[0] - logarithms[1]) ** 2).mean()),
    ]


def compare_bands(
    student: Tensor, teacher: Tensor, split: LinearSplit, *written: Tensor | None
) -> Tensor:
    """The distances themselves."""
    with torch.inference_mode():
        sums = module.compare_bands(student, teacher, split, *written)
    return sums / student.numel()


def features(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return first + 100, second


@pytest.mark.parametrize("chunk", [20, 2**15])
@pytest.mark.parametrize("axis", [-1, -2])
def test_the_distances_are_those_of_the_formulas(
    axis: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    student, teacher = features(6, 16)
    part = FrequencyDecoupler().low_part(16)
    inputs = [x if axis == -1 else x.T.contiguous()[None] for x in (student, teacher)]
    split = LinearSplit.of(part, inputs[0], axis)
    found = compare_bands(inputs[0], inputs[1], split, None, None)
    expected = by_hand(student.numpy(), teacher.numpy(), 4)
    assert found.tolist() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("chunk", [20, 2**15])
def test_bands_and_gradients_are_written(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    student, teacher = features(6, 16)
    split = LinearSplit.of(FrequencyDecoupler().low_part(16), student, -1)
    gradient, bands = student.new_empty(2, 6, 16), student.new_empty(2, 2, 6, 16)
    compare_bands(student, teacher, split, gradient, bands)
    centred = torch.stack((student, teacher)) - torch.stack((student, teacher)).mean(
        -1, keepdim=True
    )
    torch.testing.assert_close(bands.sum(0), centred, rtol=0, atol=1e-11)
    # A step of one sample along its gradient, by central differences.
    step = 1e-6
    for band in (0, 1):
        moved = []
        for sign in (1, -1):
            shifted = student.clone()
            shifted[2, 5] += sign * step
            moved.append(compare_bands(shifted, teacher, split, None, None)[band].item())
        by_features = LinearSplit.join(split, gradient * (torch.arange(2) == band).view(2, 1, 1))
        assert by_features[2, 5].item() == pytest.approx(
            (moved[0] - moved[1]) / (2 * step), rel=1e-4
        )
