import av
import numpy as np
import pytest

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.mono_resampler import MonoResampler


def frame(layout: str, channels: int) -> av.AudioFrame:
    values = np.arange(channels, dtype=np.int16) * 1_000
    made = av.AudioFrame.from_ndarray(np.tile(values, 100)[None], "s16", layout)
    made.rate = 8_000
    return made


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("7.1", 8)])
def test_the_mean_of_the_channels(layout: str, channels: int) -> None:
    resampler = MonoResampler(8_000)
    sound = np.concatenate([*resampler.resample(frame(layout, channels)), *resampler.flush()])
    np.testing.assert_allclose(sound, np.full(100, 500 * (channels - 1) / 32_768), atol=1e-6)


def test_a_change_flushes_what_came_before() -> None:
    resampler = MonoResampler(4_000)
    parts = resampler.resample(frame("mono", 1))
    parts += resampler.resample(frame("stereo", 2))
    parts += resampler.flush()
    assert sum(map(len, parts)) == pytest.approx(100, abs=2)


def test_too_many_channels_are_named() -> None:
    odd = type("Frame", (), {})()
    odd.format = type("Format", (), {"name": "s16"})
    odd.layout = type("Layout", (), {"name": "65 channels", "nb_channels": 65})
    odd.sample_rate = 8_000
    with pytest.raises(MediaError, match="65 channels of sound: at most 64"):
        MonoResampler(8_000).resample(odd)
