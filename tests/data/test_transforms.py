import math

import pytest
import torch

from fdkd_lightning.data.transforms import LogMelSpectrogram


def test_shapes() -> None:
    transform = LogMelSpectrogram()
    assert transform(torch.randn(3, 8000)).shape == (3, 1, 32, 63)
    assert transform(torch.randn(8000)).shape == (1, 32, 63)
    assert LogMelSpectrogram(n_mels=20, hop_length=100)(torch.randn(2, 800)).shape == (2, 1, 20, 9)


def test_one_clip_equals_its_row_of_a_batch() -> None:
    x = torch.randn(3, 8000)
    torch.testing.assert_close(LogMelSpectrogram()(x)[1], LogMelSpectrogram()(x[1]))


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


def test_autocast_leaves_it_in_float32() -> None:
    x = torch.randn(2, 8000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = LogMelSpectrogram()(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, LogMelSpectrogram()(x), atol=0, rtol=0)


def test_a_waveform_with_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"waveform has shape \[2, 1, 8000\]"):
        LogMelSpectrogram()(torch.randn(2, 1, 8000))
