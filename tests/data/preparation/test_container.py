from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation import container
from fdkd_lightning.data.preparation.container import decoded_frames
from fdkd_lightning.data.preparation.media_error import MediaError

Write = Callable[..., Path]


def test_times_count_from_the_beginning(tmp_path: Path, write_clip: Write) -> None:
    path = write_clip(tmp_path / "a.mp4")
    times = [time for time, _ in decoded_frames(path, "video")]
    assert times == pytest.approx([i / 10 for i in range(30)])
    assert next(decoded_frames(path, "audio"))[0] == 0


def test_large_frames_are_refused_before_they_are_decoded(
    tmp_path: Path, write_clip: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mp4")
    assert container.MOST_FRAME_PIXELS >= 7680 * 4320
    monkeypatch.setattr(container, "MOST_FRAME_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaError, match="too-large: frames of 64 x 48 pixels: the limit is 3,071"):
        next(decoded_frames(path, "video"))
