import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import scipy.signal
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fdkd_lightning.data.transforms.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    LogMelSpectrogram,
)

ALL = [LogMelSpectrogram, LogMagnitudeSpectrogram, lambda: LogDensitySpectrogram(16_000)]
every_spectrogram = pytest.mark.parametrize("make", ALL, ids=["mel", "magnitude", "density"])
Make = Callable[[], nn.Module]


def clips(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def assert_same(ours: Tensor, theirs: NDArray[np.float64], floor: float) -> None:
    """Ours are logarithms; theirs are not yet."""
    assert ours.shape == theirs.shape
    actual = ours.double().numpy()
    np.testing.assert_allclose(np.exp(actual) - floor, theirs, rtol=1e-4, atol=1e-6 * theirs.max())
    # A logarithm says little where float32 has cancelled nearly everything.
    loud = theirs > 1e-3 * theirs.max()
    np.testing.assert_allclose(actual[loud], np.log(theirs[loud] + floor), atol=1e-4)


def test_shapes() -> None:
    transform = LogMelSpectrogram()
    assert transform(torch.randn(3, 8000)).shape == (3, 1, 32, 63)
    assert transform(torch.randn(8000)).shape == (1, 32, 63)
    assert LogMelSpectrogram(n_mels=20, hop_length=100)(torch.randn(2, 800)).shape == (2, 1, 20, 9)
    magnitude = LogMagnitudeSpectrogram(n_fft=64, hop_length=16)
    assert magnitude(torch.randn(2, 800)).shape == (2, 1, 33, 51)
    density = LogDensitySpectrogram(8000, n_fft=64, hop_length=16)
    assert density(torch.randn(2, 800)).shape == (2, 1, 33, 47)


@every_spectrogram
def test_one_clip_equals_its_row_of_a_batch(make: Make) -> None:
    x = clips(3, 8000)
    torch.testing.assert_close(make()(x)[1], make()(x[1]), atol=1e-4, rtol=0)


@every_spectrogram
def test_integers_are_taken_at_full_scale(make: Make) -> None:
    x = (clips(2, 8000) * 32768).short()
    assert torch.equal(make()(x), make()(x / 32768))


def test_a_tone_is_loudest_in_its_band() -> None:
    time = torch.arange(8000) / 8000
    low, high = (
        LogMelSpectrogram()(torch.sin(2 * math.pi * f * time)).mean((0, 2)) for f in (300, 2500)
    )
    assert 0 < low.argmax() < 10 < high.argmax()


def test_silence_is_the_floor() -> None:
    transform = LogMelSpectrogram(floor=1e-3, standardize=False)
    silence = transform(torch.zeros(2, 8000))
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(1e-3)))


def test_standardize_gives_each_clip_mean_0_and_deviation_1() -> None:
    y = LogMelSpectrogram(standardize=True)(
        torch.randn(4, 8000) * torch.tensor([[1.0], [2], [3], [4]])
    )
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std((1, 2, 3)), torch.ones(4))
    assert not LogMelSpectrogram(standardize=True)(torch.zeros(8000)).any()


@every_spectrogram
def test_autocast_leaves_it_in_float32(make: Make) -> None:
    x = clips(2, 8000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = make()(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, make()(x), atol=0, rtol=0)


@every_spectrogram
def test_a_waveform_with_channels_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match=r"waveform has shape \[2, 1, 8000\]"):
        make()(torch.randn(2, 1, 8000))


def librosa_stft(
    x: NDArray[np.float64], n_fft: int, hop: int, mode: Literal["constant", "reflect"]
) -> NDArray[np.float64]:
    """The magnitude of librosa.stft(x, n_fft=n_fft, hop_length=hop), frame by frame."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    padded = np.pad(x, n_fft // 2, mode=mode)
    frames = [
        np.fft.rfft(window * padded[start : start + n_fft])
        for start in range(0, len(x) + 1, hop)
        if start + n_fft <= len(padded)
    ]
    return np.abs(np.stack(frames, axis=1))


@pytest.mark.parametrize("mode", ["constant", "reflect"])
@pytest.mark.parametrize(("n_fft", "hop"), [(512, 353), (256, 128)])
def test_magnitudes_are_those_of_librosa(
    n_fft: int, hop: int, mode: Literal["constant", "reflect"]
) -> None:
    x = clips(2, 4000)
    transform = LogMagnitudeSpectrogram(n_fft, hop, pad_mode=mode)
    for clip, ours in zip(x, transform(x), strict=True):
        assert_same(ours[0], librosa_stft(clip.double().numpy(), n_fft, hop, mode), 1e-7)


def test_padding_changes_the_outermost_frames_alone() -> None:
    x = clips(1, 4000)
    zeros, mirror = (
        LogMagnitudeSpectrogram(256, 128, pad_mode=m)(x) for m in ("constant", "reflect")
    )
    assert torch.equal(zeros[..., 1:-1], mirror[..., 1:-1])
    assert not torch.isclose(zeros[..., 0], mirror[..., 0]).all()


@pytest.mark.parametrize("rate", [16_000, 22_050])
@pytest.mark.parametrize(("n_fft", "overlap"), [(512, 353), (255, 100)])
def test_densities_are_those_of_scipy(rate: int, n_fft: int, overlap: int) -> None:
    # The mean is what scipy's detrend takes away.
    x = clips(2, 4000) + 0.3
    transform = LogDensitySpectrogram(rate, n_fft, n_fft - overlap)
    for clip, ours in zip(x, transform(x), strict=True):
        _, _, density = scipy.signal.spectrogram(
            clip.double().numpy(), rate, nperseg=n_fft, noverlap=overlap
        )
        assert_same(ours[0], density, 1e-7)


def test_standardized_densities_are_those_of_the_published_code() -> None:
    x = clips(3, 16_000) * torch.tensor([[0.1], [1.0], [3.0]])
    for clip, ours in zip(x, LogDensitySpectrogram(16_000, standardize=True)(x), strict=True):
        _, _, density = scipy.signal.spectrogram(
            clip.double().numpy(), 16_000, nperseg=512, noverlap=353
        )
        y = np.log(density + 1e-7)
        theirs = (y - np.mean(y)) / (np.std(y) + 1e-9)
        np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-3)


def test_a_density_worked_out_by_hand() -> None:
    # One frame whose mean is 0 already; scipy's window leaves (0, 2, 0, -1) of it.
    x = torch.tensor([[-1.0, 2.0, 0.0, -1.0]])
    window = scipy.signal.get_window(("tukey", 0.25), 4)
    np.testing.assert_allclose(window, [0, 1, 1, 1])
    y = LogDensitySpectrogram(sample_rate=10, n_fft=4, hop_length=1, floor=0.0)(x)
    # rfft of (0, 2, 0, -1): 1, -3i, -1; each squared, over 10 Hz times 3; the middle one twice.
    torch.testing.assert_close(y.flatten().exp(), torch.tensor([1 / 30, 2 * 9 / 30, 1 / 30]))


def test_the_density_of_silence_is_the_floor_and_standardized_zero() -> None:
    silence = torch.zeros(2, 1000)
    y = LogDensitySpectrogram(16_000, floor=1e-5)(silence)
    torch.testing.assert_close(y, torch.full_like(y, math.log(1e-5)))
    assert not LogDensitySpectrogram(16_000, standardize=True)(silence).any()


def test_a_clip_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="waveform has 511 samples: pass at least n_fft=512"):
        LogDensitySpectrogram(16_000)(torch.zeros(1, 511))


def test_constants_are_not_part_of_the_state() -> None:
    assert LogDensitySpectrogram(16_000).state_dict() == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogMelSpectrogram(sample_rate=0), "sample_rate=0 must be at least 1"),
        (lambda: LogMelSpectrogram(n_mels=0), "n_mels=0 must be from 1 to 129"),
        (lambda: LogMagnitudeSpectrogram(hop_length=0), "hop_length=0 must be at least 1"),
        (lambda: LogMagnitudeSpectrogram(floor=math.nan), "floor=nan must be at least 0"),
        (lambda: LogMagnitudeSpectrogram(pad_mode="zeros"), "pad_mode='zeros' is unknown"),  # type: ignore[arg-type]
        (lambda: LogDensitySpectrogram(0), "sample_rate=0 must be at least 1"),
        (lambda: LogDensitySpectrogram(8000, n_fft=0), "n_fft=0 must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
