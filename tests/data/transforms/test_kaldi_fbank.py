import pytest
import torch
from torch import Tensor
from torchaudio.compliance import kaldi

from fdkd_lightning.data.transforms.kaldi_fbank import KaldiFbank

MEAN, STD = -4.503877, 5.141276


def published(clip: Tensor, rate: int, length: int = 1024) -> Tensor:
    """One clip as OGM-GE's process_audio.py does it: [T, F]."""
    clip = clip - clip.mean()
    fbank = kaldi.fbank(
        clip[None],
        htk_compat=True,
        sample_frequency=rate,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )
    padded = torch.zeros(length, 128)
    padded[: len(fbank)] = fbank[:length]
    return (padded - MEAN) / (STD * 2)


def clips(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    # Off zero, so that it shows which mean is taken away.
    return [0.1 * torch.randn(n, generator=generator) + 0.2 for n in lengths]


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_features_are_those_of_the_published_code(rate: int) -> None:
    # Shorter than 100 frames, one frame, longer.
    lengths = (rate // 2, rate // 40, rate * 2)
    features = KaldiFbank(MEAN, STD, sample_rate=rate, length=100)(clips(*lengths))
    assert features.shape == (3, 1, 128, 100)
    for clip, ours in zip(clips(*lengths), features, strict=True):
        torch.testing.assert_close(ours[0].T, published(clip, rate, 100), atol=1e-4, rtol=0)


def test_a_batch_is_its_clips() -> None:
    x = torch.stack(clips(8000, 8000, 8000))
    fbank = KaldiFbank(MEAN, STD, length=60)
    assert fbank(x).shape == (3, 1, 128, 60)
    torch.testing.assert_close(fbank(x), fbank([*x]), atol=0, rtol=0)
    torch.testing.assert_close(fbank(x)[1:2], fbank(x[1:2]), atol=1e-5, rtol=0)


def test_frames_that_are_filled_up_are_a_normalised_zero() -> None:
    features = KaldiFbank(MEAN, STD, length=100)(clips(8000))
    filled = features[..., 48:]
    torch.testing.assert_close(filled, torch.full_like(filled, -MEAN / (2 * STD)))
    assert (features[..., :48] != filled[0, 0, 0, 0]).all()


def test_silence_is_finite() -> None:
    assert KaldiFbank(MEAN, STD)(torch.zeros(2, 8000)).isfinite().all()


def test_integers_are_taken_at_full_scale() -> None:
    x = [(clip * 32768).short() for clip in clips(8000, 9000)]
    assert torch.equal(KaldiFbank(MEAN, STD)(x), KaldiFbank(MEAN, STD)([y / 32768 for y in x]))


def test_autocast_leaves_it_in_float32() -> None:
    x = clips(8000, 9000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = KaldiFbank(MEAN, STD)(x)
    torch.testing.assert_close(features, KaldiFbank(MEAN, STD)(x), atol=0, rtol=0)


def test_a_deviation_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="std=0 must be above 0"):
        KaldiFbank(MEAN, 0)


@pytest.mark.parametrize("clip", [torch.zeros(399), torch.zeros(1, 8000)])
def test_a_clip_without_a_frame_or_with_channels_is_refused(clip: Tensor) -> None:
    with pytest.raises(ValueError, match=r"pass \[S\] with at least 400 samples \(25 ms\)"):
        KaldiFbank(MEAN, STD)([clip])
