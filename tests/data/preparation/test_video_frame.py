import av
import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation import video_frame
from fdkd_lightning.data.preparation.video_frame import to_image, upright_step


def test_a_frame_is_converted_and_turned() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    assert upright_step(frame) is None
    np.testing.assert_array_equal(to_image(frame, 16), pixels)
    turned = to_image(frame, step=Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(turned, np.rot90(pixels))


def test_a_transparent_frame_is_composited() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((4, 4, 4), np.uint8), format="rgba")
    assert np.asarray(to_image(frame, background=(10, 20, 30)))[0, 0].tolist() == [10, 20, 30]


def test_large_frames_are_scaled_while_they_are_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_frame, "WHOLE_PIXELS", 1000)
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
    image = to_image(frame, 24)
    assert image.size == (32, 24)
    np.testing.assert_allclose(image, 90, atol=1)
