import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.data.transforms.waveforms import Excerpt, Resample, Tile, full_scale


def tone(rate: int, seconds: float = 1.0, frequency: float = 440.0) -> Tensor:
    time = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * frequency * time).float()


def ramps(clips: int, samples: int) -> Tensor:
    return torch.arange(float(samples)).expand(clips, samples)


def test_bytes_of_a_wave_file_have_full_scale_1() -> None:
    samples = torch.tensor([[-32768, 0, 32767]], dtype=torch.int16)
    torch.testing.assert_close(full_scale(samples), torch.tensor([[-1, 0, 32767 / 32768]]))
    assert full_scale(torch.tensor([0.5], dtype=torch.float64)).dtype == torch.float32
    with pytest.raises(ValueError, match=r"waveform is torch\.int32: pass floating point"):
        full_scale(samples.int())


@pytest.mark.parametrize("rates", [(16_000, 22_050), (48_000, 22_050), (44_100, 16_000)])
def test_a_tone_stays_the_tone_at_another_rate(rates: tuple[int, int]) -> None:
    old, new = rates
    resampled = Resample(old, new)(tone(old)[None])
    assert isinstance(resampled, Tensor)
    assert resampled.shape == (1, new)
    inside = slice(new // 10, -new // 10)
    torch.testing.assert_close(resampled[0, inside], tone(new)[inside], atol=1e-4, rtol=0)


def test_what_the_new_rate_cannot_hold_is_filtered_out() -> None:
    resampled = Resample(48_000, 16_000)(tone(48_000, frequency=10_000.0)[None])
    assert isinstance(resampled, Tensor)
    assert resampled[0, 1000:-1000].abs().max() < 1e-4


def test_the_same_rate_leaves_the_samples() -> None:
    x = torch.randn(2, 100)
    assert Resample(16_000, 16_000)(x) is x


def test_clips_of_different_lengths_are_resampled_one_by_one() -> None:
    clips = [torch.randn(1000), torch.randn(1601)]
    resampled = Resample(16_000, 8000)(clips)
    assert [len(clip) for clip in resampled] == [500, 801]
    for clip, alone in zip(clips, resampled, strict=True):
        torch.testing.assert_close(Resample(16_000, 8000)(clip[None])[0], alone)


def test_resampling_stays_in_float32_under_autocast() -> None:
    x = torch.randn(2, 1000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resampled = Resample(16_000, 8000)(x)
    torch.testing.assert_close(resampled, Resample(16_000, 8000)(x), atol=0, rtol=0)


@pytest.mark.parametrize("samples", [7, 20, 33, 60, 90])
def test_tiling_is_that_of_numpy(samples: int) -> None:
    x = torch.rand(2, samples)
    tiled = np.stack([np.tile(clip, 10)[:60] for clip in x.numpy()])
    torch.testing.assert_close(Tile(60)(x), torch.from_numpy(tiled), atol=0, rtol=0)
    torch.testing.assert_close(Tile(60)([*x]), torch.from_numpy(tiled), atol=0, rtol=0)


def test_a_clip_too_short_for_the_published_copies_is_repeated_on() -> None:
    assert Tile(7)(torch.tensor([[0.1, 0.2]]))[0].tolist() == pytest.approx([0.1, 0.2] * 3 + [0.1])


def test_samples_are_limited_to_full_scale() -> None:
    assert Tile(3)(torch.tensor([[-2.0, 0.5, 1.5]])).tolist() == [[-1.0, 0.5, 1.0]]


def test_tiling_refuses_what_has_no_samples() -> None:
    with pytest.raises(ValueError, match=r"shape \[0\], without samples: leave out such clips"):
        Tile(3)([torch.ones(2), torch.ones(0)])
    with pytest.raises(ValueError, match="length=0 must be at least 1"):
        Tile(0)


@pytest.mark.parametrize("training", [True, False])
def test_each_clip_has_a_random_excerpt_of_its_own(training: bool) -> None:
    excerpts = Excerpt(4).train(training)(ramps(500, 10))
    starts = excerpts[:, :1]
    torch.testing.assert_close(excerpts, starts + torch.arange(4.0))
    # The first and the last position are among them.
    assert starts.unique().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_the_excerpt_is_in_the_middle_where_asked_and_only_outside_training() -> None:
    excerpt = Excerpt(4, evaluation="center").eval()
    state = torch.get_rng_state()
    assert excerpt(ramps(3, 10)).tolist() == [[3, 4, 5, 6]] * 3
    assert torch.equal(torch.get_rng_state(), state)
    assert len(excerpt.train()(ramps(100, 10)).unique(dim=0)) > 1


def test_excerpts_follow_the_seed() -> None:
    torch.manual_seed(3)
    first = Excerpt(4)(ramps(9, 100))
    torch.manual_seed(3)
    assert torch.equal(Excerpt(4)(ramps(9, 100)), first)


@pytest.mark.parametrize("rates", [(0, 16_000), (16_000, 0)])
def test_a_rate_below_one_is_refused(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="rate=0 must be at least 1"):
        Resample(*rates)


def test_an_excerpt_of_everything_is_everything() -> None:
    assert torch.equal(Excerpt(10)(ramps(3, 10)), ramps(3, 10))


def test_excerpts_refuse_short_clips_and_unknown_positions() -> None:
    with pytest.raises(ValueError, match="waveform has 3 samples: pass at least length=4"):
        Excerpt(4)(ramps(2, 3))
    with pytest.raises(
        ValueError, match="evaluation='middle' is unknown: choose 'random' or 'center'"
    ):
        Excerpt(4, evaluation="middle")  # type: ignore[arg-type]
