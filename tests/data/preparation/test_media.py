import functools
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation import media
from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.media import read_audio, read_frames
from fdkd_lightning.data.preparation.media_error import MediaError, check_file

Write = Callable[..., Path]
Status = Callable[[Callable[[], object]], str]
read_images = functools.partial(read_frames, convert=lambda image: image)


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
    frames = read_images(write_clip(tmp_path / name), **arguments)  # type: ignore[arg-type]
    assert numbers_of(frames) == numbers
    assert {(frame.mode, frame.size) for frame in frames} == {("RGB", (64, 48))}


@pytest.mark.parametrize("arguments", [{"fps": 0}, {"fps": float("nan")}, {"count": 0}])
def test_a_rate_or_number_out_of_range_is_named(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(fps|count)=(0|nan) must be"):
        read_images("a.flv", **arguments)  # type: ignore[arg-type]


def test_frames_need_a_rate_or_a_number() -> None:
    for arguments in ({}, {"fps": 1, "count": 1}):
        with pytest.raises(ValueError, match=r"fps=.* and count=.*: pass one of the two"):
            read_images("a.flv", **arguments)  # type: ignore[arg-type]


READERS: dict[str, Callable[[Path], object]] = {
    "audio": lambda path: read_audio(path, 16_000),
    "frames": lambda path: read_images(path, fps=1),
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
    assert len(read_images(path, fps=1)) == 3


@pytest.mark.parametrize("name", ["a.flv", "a.mp4"])
def test_a_stream_that_is_not_there(
    tmp_path: Path, write_clip: Write, name: str, status: Status
) -> None:
    silent = write_clip(tmp_path / "silent" / name, audio=False)
    assert status(lambda: read_audio(silent, 16_000)) == "no-stream"
    assert len(read_images(silent, fps=1)) == 3
    sound = write_clip(tmp_path / "sound" / name, video=False)
    assert status(lambda: read_images(sound, fps=1)) == "no-stream"
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
        assert status(lambda s=segment: read_images(clip, 1, None, 1, *s)) == "zero-length"  # type: ignore[misc]


def test_a_clip_is_read_again_after_its_end(tmp_path: Path, write_clip: Write) -> None:
    # Seeking back in an FLV that was decoded to its end fails.
    path = write_clip(tmp_path / "a.flv")
    assert len(read_images(path, count=3)) == len(read_images(path, count=3)) == 3


def test_a_damaged_middle_costs_a_frame_or_two(tmp_path: Path, write_clip: Write) -> None:
    path = write_clip(tmp_path / "a.flv")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(content)
    assert len(read_images(path, fps=10)) > 20


@pytest.mark.parametrize("channels", [1, 2, 6, 7, 8, 9, 16, 64])
def test_any_number_of_channels_is_averaged(
    tmp_path: Path, write_wav: Write, channels: int
) -> None:
    path = write_wav(tmp_path / "a.wav", 0.2, 16_000, channels)
    mono = read_audio(write_wav(tmp_path / "1.wav", 0.2, 16_000), 16_000)
    level = (2 - 2 / 2**channels) / channels
    np.testing.assert_allclose(read_audio(path, 16_000), level * mono, atol=1e-4)
    np.testing.assert_allclose(len(read_audio(path, 8_000)), 1600, atol=2)


def test_more_channels_than_can_be_resampled_are_refused(
    tmp_path: Path, write_wav: Write, status: Status
) -> None:
    path = write_wav(tmp_path / "a.wav", 0.1, 8_000, 65)
    assert status(lambda: read_audio(path, 8_000)) == "undecodable"


def test_a_rate_or_layout_that_changes_midway(tmp_path: Path) -> None:
    parts = []
    for number, (rate, layout) in enumerate(((16_000, "mono"), (8_000, "mono"), (8_000, "stereo"))):
        part = tmp_path / f"{number}.aac"
        with av.open(str(part), "w", format="adts") as file:
            stream = file.add_stream("aac", rate=rate)
            stream.layout = layout
            sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
            channels = 1 if layout == "mono" else 2
            frame = av.AudioFrame.from_ndarray(
                np.stack([sound] * channels), format="fltp", layout=layout
            )
            frame.rate = rate
            file.mux(stream.encode(frame))
            file.mux(stream.encode())
        parts.append(part.read_bytes())
    (tmp_path / "a.aac").write_bytes(b"".join(parts))
    sound = read_audio(tmp_path / "a.aac", 16_000)
    assert len(sound) / 16_000 == pytest.approx(3, abs=0.5)
    for second in (0.3, 1.5, 2.6):
        excerpt = sound[int(second * 16_000) :][:4000]
        assert frequency(excerpt, 16_000) == pytest.approx(440, abs=4)
        assert np.sqrt(np.mean(excerpt**2)) == pytest.approx(0.35, rel=0.1)


def write_offset(path: Path, video_at: float, audio_at: float) -> Path:
    """Three seconds of video with a flash, and of sound with a beep, both at 2 s of the file."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = file.add_stream("pcm_s16le", rate=8_000)
        audio.layout = "mono"
        packets = []
        for i in range(round(10 * video_at), 30):
            gray = np.full((48, 64, 3), 255 if i == 20 else 16, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            packets += video.encode(frame)
        packets += video.encode()
        for i in range(round(10 * audio_at), 30):
            sound = np.full((1, 800), 16_000 if i == 20 else 0, np.int16)
            block = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            block.rate, block.pts, block.time_base = 8_000, 800 * i, Fraction(1, 8_000)
            packets += audio.encode(block)
        packets += audio.encode()
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            file.mux(packet)
    return path


@pytest.mark.parametrize(("video_at", "audio_at"), [(0, 0), (1, 0), (0, 1), (0.5, 1.5), (0, 0.3)])
def test_a_flash_and_its_beep_fall_into_one_segment(
    tmp_path: Path, video_at: float, audio_at: float
) -> None:
    path = write_offset(tmp_path / "a.mkv", video_at, audio_at)
    first = min(video_at, audio_at)
    start = 2 - first - 0.25
    sound = read_audio(path, 8_000, start, 0.5)
    assert np.flatnonzero(sound > 0.2).tolist() == pytest.approx(range(2000, 2800), abs=10)
    frames = read_images(path, fps=10, start=start, duration=0.5)
    assert [np.asarray(frame).mean() > 128 for frame in frames].index(True) == 2
    whole = read_audio(path, 8_000)
    assert len(whole) == pytest.approx(8_000 * (3 - first), abs=20)
    assert len(read_images(path, fps=10)) == 30 - round(10 * video_at)
    if audio_at > video_at:
        before = audio_at - video_at
        assert not whole[: round(8_000 * before)].any()
        with pytest.raises(MediaError, match="zero-length"):
            read_audio(path, 8_000, 0, before / 2)


def test_an_encoders_delay_is_no_offset(tmp_path: Path, write_clip: Write) -> None:
    path = write_offset(tmp_path / "a.mkv", 0, 0.1)
    assert len(read_audio(path, 8_000)) == 8_000 * 2.9


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_silent_flv_of_few_frames_is_whole(tmp_path: Path, count: int) -> None:
    with av.open(str(tmp_path / "a.flv"), "w") as file:
        stream = file.add_stream("flv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert len(read_images(tmp_path / "a.flv", fps=5)) == count


@pytest.mark.parametrize(
    ("degrees", "quadrant"), [(None, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))]
)
def test_a_video_is_upright(tmp_path: Path, degrees: int | None, quadrant: tuple[int, int]) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:24, :32] = 255
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    if degrees is not None:
        content = path.read_bytes()
        upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
        cosine, sine = round(np.cos(np.pi * degrees / 180)), round(np.sin(np.pi * degrees / 180))
        turned = [cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 14]
        header = content.index(b"tkhd")
        at = content.index(upright, header)
        matrix = (np.array(turned) * (1 << 16)).astype(">i4").tobytes()
        path.write_bytes(content[:at] + matrix + content[at + 36 :])
    image = np.asarray(read_images(path, fps=1)[0].convert("L"))
    assert image.shape == ((64, 48) if degrees in (90, -90) else (48, 64))
    height, width = image.shape
    bright = image.reshape(2, height // 2, 2, width // 2).mean((1, 3)) > 128
    assert np.argwhere(bright).tolist() == [[*quadrant]]


def test_frames_whose_size_changes_are_refused(tmp_path: Path, status: Status) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as file:
        stream = file.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i in range(20):
            size = (48, 64, 3) if i < 10 else (24, 32, 3)
            content = io.BytesIO()
            Image.fromarray(np.zeros(size, np.uint8)).save(content, "JPEG")
            packet = av.Packet(content.getvalue())
            packet.stream, packet.pts, packet.dts = stream, i, i
            packet.time_base = Fraction(1, 10)
            file.mux(packet)
    with pytest.raises(MediaError, match=r"changes at 1.00 s from 64 x 48 to 32 x 24"):
        read_images(tmp_path / "a.avi", fps=10)
    assert len(read_images(tmp_path / "a.avi", fps=10, duration=0.9)) == 9


def test_tags_may_be_in_any_encoding(tmp_path: Path, write_clip: Write) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "owl-owl-owl"
        stream = file.add_stream("pcm_s16le", rate=8_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.ones((1, 800), np.int16), "s16", "mono")
        frame.rate = 8_000
        file.mux(stream.encode(frame))
    path.write_bytes(path.read_bytes().replace(b"owl-owl-owl", b"\xfc\xff\xe9-owl-owl"))
    assert len(read_audio(path, 8_000)) == 800


def test_the_cover_of_an_album_is_no_video(tmp_path: Path, status: Status) -> None:
    path = tmp_path / "a.mp3"
    cover = io.BytesIO()
    Image.new("RGB", (8, 8)).save(cover, "JPEG")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libmp3lame", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
        frame.rate = 16_000
        packets = [*stream.encode(frame), *stream.encode()]
        for packet in packets:
            file.mux(packet)
    body = b"\0image/jpeg\0\3\0" + cover.getvalue()
    tag = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes((len(tag) >> shift) & 127 for shift in (21, 14, 7, 0))
    sound = path.read_bytes()
    path.write_bytes(b"ID3\3\0\0" + size + tag + sound[sound.index(b"\xff\xf3") :])
    assert len(read_audio(path, 16_000)) > 15_000
    assert status(lambda: read_images(path, fps=1)) == "no-stream"


@pytest.mark.parametrize("start", [1e9, 1e300, float("inf"), float("nan")])
def test_a_start_beyond_all_files(
    tmp_path: Path, write_clip: Write, start: float, status: Status
) -> None:
    path = write_clip(tmp_path / "a.mp4")
    assert status(lambda: read_audio(path, 16_000, start, 1)) == "zero-length"
    assert status(lambda: read_images(path, 1, start=start, duration=1)) == "zero-length"


def test_long_sounds_are_refused_but_not_their_segments(
    tmp_path: Path, write_wav: Write, status: Status
) -> None:
    path = write_wav(tmp_path / "a.wav", 10, 8_000)
    assert len(read_audio(path, 8_000, longest=10)) == 80_000
    with pytest.raises(MediaError, match=r"too-large: more than 9 s of sound"):
        read_audio(path, 8_000, longest=9)
    segment = read_audio(path, 8_000, 8, 1, longest=2)
    np.testing.assert_array_equal(segment, read_audio(path, 8_000)[64_000:72_000])


def test_frames_are_converted_at_once(tmp_path: Path, write_clip: Write) -> None:
    path = write_clip(tmp_path / "a.mp4")
    assert read_frames(path, fps=1, convert=lambda image: image.size) == 3 * [(64, 48)]
    assert read_frames(path, count=2, convert=lambda image: image.mode) == ["RGB", "RGB"]


def test_too_many_frames_are_refused(
    tmp_path: Path, write_clip: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(media, "MOST_FRAMES", 10)
    with pytest.raises(MediaError, match="too-large: more than 10 frames at fps=10: lower fps"):
        read_images(path, fps=10)
