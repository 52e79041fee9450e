from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.media import read_audio, read_frames
from fdkd_lightning.data.preparation.media_error import check_file

Write = Callable[..., Path]
Status = Callable[[Callable[[], object]], str]


def frequency(sound: NDArray[np.float32], rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(spectrum.argmax() * rate / len(sound))


@pytest.mark.parametrize("rate", [44_100, 48_000, 16_000])
def test_a_wav_is_resampled(tmp_path: Path, write_wav: Write, rate: int) -> None:
    sound = read_audio(write_wav(tmp_path / "a.wav", 2, rate), 16_000)
    assert sound.dtype == np.float32
    assert abs(len(sound) - 32_000) <= 2
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    np.testing.assert_allclose(sound[100:-100], expected[100 : len(sound) - 100], atol=5e-3)


def test_a_wav_of_the_same_rate_comes_back_bit_by_bit(tmp_path: Path, write_wav: Write) -> None:
    path = write_wav(tmp_path / "a.wav", 1, 22_050)
    stored = np.frombuffer(path.read_bytes()[44:], "<i2")
    np.testing.assert_array_equal(read_audio(path, 22_050) * 32768, stored)


def test_channels_are_averaged(tmp_path: Path, write_wav: Write) -> None:
    mono = read_audio(write_wav(tmp_path / "1.wav", channels=1), 16_000)
    for channels, level in ((2, (1 + 1 / 2) / 2), (4, (1 + 1 / 2 + 1 / 4 + 1 / 8) / 4)):
        mixed = read_audio(write_wav(tmp_path / "n.wav", channels=channels), 16_000)
        np.testing.assert_allclose(mixed, level * mono, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "rate"), [("a.flv", 44_100), ("a.mp4", 44_100), ("b.mp4", 48_000)]
)
def test_sound_of_a_video(tmp_path: Path, write_clip: Write, name: str, rate: int) -> None:
    sound = read_audio(write_clip(tmp_path / name, 3, rate), 16_000)
    assert abs(len(sound) / 16_000 - 3) < 0.1
    middle = sound[16_000:32_000]
    assert frequency(middle, 16_000) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_a_segment_of_sound(tmp_path: Path, write_wav: Write) -> None:
    path = write_wav(tmp_path / "a.wav", 2, 16_000)
    whole = read_audio(path, 16_000)
    np.testing.assert_array_equal(read_audio(path, 16_000, 0.5, 1), whole[8_000:24_000])
    np.testing.assert_array_equal(read_audio(path, 16_000, 1.5, 10), whole[24_000:])
    np.testing.assert_array_equal(read_audio(path, 16_000, duration=0.25), whole[:4_000])


@pytest.mark.parametrize("name", ["a.flv", "a.mp4"])
@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ({"fps": 1}, [0, 10, 20]),
        ({"fps": 2}, [0, 5, 10, 15, 20, 25]),
        ({"fps": 10}, list(range(30))),
        ({"fps": 100}, list(range(30))),
        ({"fps": 0.1}, [0]),
        ({"fps": 0.1, "least": 3}, [5, 15, 25]),
        ({"fps": 0.1, "least": 100}, list(range(30))),
        ({"count": 1}, [15]),
        ({"count": 2}, [7, 22]),
        ({"fps": 1, "start": 0.5}, [5, 15, 25]),
        ({"fps": 1, "start": 0.5, "duration": 1.1}, [5, 15]),
        ({"count": 2, "start": 1, "duration": 1}, [12, 17]),
        ({"count": 2, "start": 2.9}, [29, 29]),
    ],
)
def test_which_frames_are_kept(
    tmp_path: Path,
    write_clip: Write,
    numbers_of: Callable[[list[Image.Image]], list[int]],
    name: str,
    arguments: dict[str, float],
    numbers: list[int],
) -> None:
    frames = read_frames(write_clip(tmp_path / name), **arguments)  # type: ignore[arg-type]
    assert numbers_of(frames) == numbers
    assert {(frame.mode, frame.size) for frame in frames} == {("RGB", (64, 48))}


@pytest.mark.parametrize("arguments", [{"fps": 0}, {"fps": float("nan")}, {"count": 0}])
def test_a_rate_or_number_out_of_range_is_named(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(fps|count)=(0|nan) must be"):
        read_frames("a.flv", **arguments)  # type: ignore[arg-type]


def test_frames_need_a_rate_or_a_number() -> None:
    for arguments in ({}, {"fps": 1, "count": 1}):
        with pytest.raises(ValueError, match=r"fps=.* and count=.*: pass one of the two"):
            read_frames("a.flv", **arguments)  # type: ignore[arg-type]


READERS: dict[str, Callable[[Path], object]] = {
    "audio": lambda path: read_audio(path, 16_000),
    "frames": lambda path: read_frames(path, fps=1),
    "image": read_image,
    "check": check_file,
}


@pytest.mark.parametrize("reader", READERS)
def test_files_that_are_none(tmp_path: Path, reader: str, status: Status) -> None:
    path, read = tmp_path / "a.flv", READERS[reader]
    assert status(lambda: read(path)) == "missing"
    assert status(lambda: read(path / "below")) == "missing"
    path.touch()
    assert status(lambda: read(path)) == "empty"
    path.unlink()
    assert status(lambda: read(path / "below")) == "missing"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert status(lambda: read(path)) == "lfs-stub"
    path.write_bytes(np.random.default_rng(0).bytes(1000))
    if reader != "check":
        assert status(lambda: read(path)) == "undecodable"
    assert status(lambda: read(tmp_path)) == "unreadable"


@pytest.mark.parametrize("reader", ["audio", "frames"])
@pytest.mark.parametrize("name", ["a.flv", "faststart.mp4", "a.mp4"])
def test_a_truncated_clip(
    tmp_path: Path, write_clip: Write, reader: str, name: str, status: Status, half: Write
) -> None:
    path = half(write_clip(tmp_path / name, faststart=name == "faststart.mp4"))
    assert status(lambda: READERS[reader](path)) == "truncated"


def test_a_truncated_wav(tmp_path: Path, write_wav: Write, status: Status, half: Write) -> None:
    path = half(write_wav(tmp_path / "a.wav"))
    assert status(lambda: read_audio(path, 16_000)) == "truncated"
    assert status(lambda: check_file(path)) == "truncated"


def test_a_wav_of_a_pipe_has_no_length_to_fall_short_of(tmp_path: Path, write_wav: Write) -> None:
    path = write_wav(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert abs(len(read_audio(path, 16_000)) - 16_000) <= 2


def test_a_clip_that_is_cut_a_little_still_counts(
    tmp_path: Path, write_clip: Write, half: Write
) -> None:
    path = half(write_clip(tmp_path / "a.flv"), 0.95)
    assert len(read_frames(path, fps=1)) == 3


@pytest.mark.parametrize("name", ["a.flv", "a.mp4"])
def test_a_stream_that_is_not_there(
    tmp_path: Path, write_clip: Write, name: str, status: Status
) -> None:
    silent = write_clip(tmp_path / "silent" / name, audio=False)
    assert status(lambda: read_audio(silent, 16_000)) == "no-stream"
    assert len(read_frames(silent, fps=1)) == 3
    sound = write_clip(tmp_path / "sound" / name, video=False)
    assert status(lambda: read_frames(sound, fps=1)) == "no-stream"
    assert len(read_audio(sound, 16_000)) > 40_000


def test_a_playlist_is_not_followed(tmp_path: Path, write_wav: Write, status: Status) -> None:
    outside = write_wav(tmp_path / "outside.wav")
    for name, text in (
        ("a.m3u8", f"#EXTM3U\n#EXTINF:1,\n{outside}\n#EXT-X-ENDLIST\n"),
        ("a.mp4", f"ffconcat version 1.0\nfile {outside.name}\n"),
    ):
        (tmp_path / name).write_text(text)
        assert status(lambda n=name: read_audio(tmp_path / n, 16_000)) == "undecodable"  # type: ignore[misc]


def test_nothing_within(
    tmp_path: Path, write_wav: Write, write_clip: Write, status: Status
) -> None:
    wav = write_wav(tmp_path / "a.wav", 1)
    clip = write_clip(tmp_path / "a.mp4")
    none = write_wav(tmp_path / "none.wav", 0)
    assert status(lambda: read_audio(none, 16_000)) == "zero-length"
    for segment in ((5.0, None), (5.0, 1.0), (0.5, 0.0), (0.5, -1.0), (-1.0, None)):
        assert status(lambda s=segment: read_audio(wav, 16_000, *s)) == "zero-length"  # type: ignore[misc]
        assert status(lambda s=segment: read_frames(clip, 1, None, 1, *s)) == "zero-length"  # type: ignore[misc]


def test_a_clip_is_read_again_after_its_end(tmp_path: Path, write_clip: Write) -> None:
    # Seeking back in an FLV that was decoded to its end fails.
    path = write_clip(tmp_path / "a.flv")
    assert len(read_frames(path, count=3)) == len(read_frames(path, count=3)) == 3


def test_a_damaged_middle_costs_a_frame_or_two(tmp_path: Path, write_clip: Write) -> None:
    path = write_clip(tmp_path / "a.flv")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(content)
    assert len(read_frames(path, fps=10)) > 20
