"""Sound, frames and pictures from files: the only module that touches codecs."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.ops.optional import require

COMPLETE = 0.8
"""Least share of its declared duration that a file must hold; published files end a bit early."""

DECLARING = ("flv", "mov", "matroska", "avi")
"""Formats that state their duration; of others, as of MP3, FFmpeg estimates it."""

CONTAINERS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav"
"""What FFmpeg may take a file for: no playlist, which would have it read other files."""

PICTURES = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for: no EPS, for which it would start another program."""

LFS_STUB = b"version https://git-lfs"


class MediaError(ValueError):
    """A file that gives no sample.

    Args:
        status: ``missing``, ``unreadable``, ``lfs-stub``, ``empty``, ``truncated``,
            ``zero-length``, ``no-stream`` or ``undecodable``.
        reason: What was found, for a person.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


def check_file(path: Path) -> None:
    """Look at a file without decoding it.

    Raises:
        MediaError: If it is missing, unreadable, empty, a git-LFS stub or shorter than it says.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            size = file.seek(0, 2)
    except (FileNotFoundError, NotADirectoryError):
        raise MediaError("missing", "there is no such file") from None
    except OSError as error:
        raise MediaError("unreadable", f"{error.strerror}") from error
    if not head:
        raise MediaError("empty", "the file has no bytes")
    if head.startswith(LFS_STUB):
        raise MediaError("lfs-stub", "only git-LFS's pointer is there: run git lfs pull")
    if head.startswith(b"RIFF") and len(head) >= 8:
        # FFmpeg takes a WAV for as long as its file is.
        declared = int.from_bytes(head[4:8], "little") + 8
        # Recorders that write to a pipe leave the largest number.
        if size < COMPLETE * declared and declared < 0xFFFFFF00:
            raise MediaError("truncated", f"{size:,} of {declared:,} bytes are there")


def read_audio(
    path: str | Path, rate: int, start: float | None = None, duration: float | None = None
) -> NDArray[np.float32]:
    """Decode and resample the first audio stream of a file, to the mean of its channels.

    Args:
        path: Any file that FFmpeg reads, a video too.
        rate: Samples per second of what is returned, whatever the file's.
        start: Where the segment begins, seconds after the first sample; None: 0.
        duration: Its length, seconds; what the file lacks of it is left out. None: to the end.

    Shape:
        - output: [S], full scale is 1

    Raises:
        MediaError: If the file gives no sound.

    Example:
        >>> read_audio("absent.wav", rate=16000)
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media.MediaError: missing: there is no such file
    """
    first, last = _segment(start, duration)
    begin = round(first * rate)
    end = None if last is None else round(last * rate)
    parts: list[NDArray[np.float32]] = []
    heard, resampler = 0, None
    for frame in _frames(Path(path), "audio"):
        if resampler is None:
            # Same layout: FFmpeg's mix of floating-point channels would be louder than their mean.
            resampler = _pyav().AudioResampler("fltp", frame.layout, rate)
        for resampled in resampler.resample(frame):
            parts.append(resampled.to_ndarray().mean(0, dtype=np.float32))
            heard += len(parts[-1])
        if end is not None and heard >= end:
            break
    else:
        if resampler is not None:
            rest = resampler.resample(None)
            parts += [part.to_ndarray().mean(0, dtype=np.float32) for part in rest]
    sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    found = sound[begin:end]
    if not len(found):
        raise MediaError(
            "zero-length", f"no sound after {first:g} s: there are {len(sound) / rate:.2f} s"
        )
    if not np.isfinite(found).all():
        raise MediaError("undecodable", "some samples are NaN or infinite")
    return found


def read_frames(
    path: str | Path,
    fps: float | None = None,
    count: int | None = None,
    least: int = 1,
    start: float | None = None,
    duration: float | None = None,
) -> list[Image.Image]:
    """Decode a video from its beginning and keep some of its frames.

    Nothing is sought: seeking in FLV is not reliable, and clips are short.

    Args:
        path: Any video that FFmpeg reads.
        fps: Keep the frames at 0, 1/fps, 2/fps, ... seconds; this or ``count`` is to be given.
        count: Keep the middle frames of so many equal parts; a frame is repeated where the video
            has fewer.
        least: Where ``fps`` gives fewer, keep so many as ``count`` does, but none twice.
        start: Where the segment begins, seconds after the first frame; None: 0.
        duration: Its length, seconds; None: to the end.

    Returns:
        RGB pictures, in their order.

    Raises:
        MediaError: If the file gives no frames.
        ValueError: If not one of ``fps`` and ``count`` is given.

    Example:
        >>> read_frames("absent.flv", fps=1)
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media.MediaError: missing: there is no such file
    """
    if (fps is None) == (count is None):
        raise ValueError(f"fps={fps} and count={count}: give one of the two")
    first, last = _segment(start, duration)
    path = Path(path)
    found: list[Image.Image] = []
    total, due = 0, 0.0
    for time, frame in _timed(path, first, last):
        total += 1
        # Times are rounded to the stream's clock, often milliseconds.
        if fps is not None and time - first >= due - 2e-3:
            found.append(_picture(frame))
            while due <= time - first + 2e-3:
                due += 1 / fps
    if not total:
        raise MediaError("zero-length", f"no frames after {first:g} s")
    if count is None:
        count = min(least, total)
        if len(found) >= count:
            return found
    # How many there are is known only now: once more, rather than with all of them in memory.
    wanted = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    kept = {}
    for number, (_, frame) in enumerate(_timed(path, first, last)):
        if number in wanted:
            kept[number] = _picture(frame)
    return [kept[number] for number in wanted]


def read_image(path: str | Path) -> Image.Image:
    """Decode a picture, in the mode that it is stored in (8-bit ``RGB``, 16-bit ``I;16``, ...).

    Raises:
        MediaError: If the file gives no picture.

    Example:
        >>> read_image("absent.jpg")
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media.MediaError: missing: there is no such file
    """
    path = Path(path)
    check_file(path)
    try:
        with Image.open(path, formats=PICTURES) as image:
            image.load()
            return image.copy()
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        # Pillow has no class of its own for this.
        truncated = "truncated" in str(error).lower()
        status = "truncated" if truncated else "undecodable"
        reason = str(error).replace(f" {str(path)!r}", "")  # it says where the folder is
        raise MediaError(status, reason) from error


def _pyav() -> Any:
    return require("av", extra="media", purpose="decoding audio and video")


def _frames(path: Path, kind: str) -> Iterator[Any]:
    """The decoded frames of the first stream of a kind; checks the file's end if it gets there."""
    check_file(path)
    av = _pyav()
    try:
        container = av.open(str(path), options={"format_whitelist": CONTAINERS})
    except av.FFmpegError as error:
        with path.open("rb") as file:
            mp4 = file.read(8)[4:] == b"ftyp"
        if mp4:
            raise MediaError("truncated", "its index, written last, is missing") from error
        if error.errno == errno.EINVAL:
            reason = f"none of the formats {CONTAINERS.replace(',', ', ')}"
            raise MediaError("undecodable", reason) from error
        raise MediaError("undecodable", f"FFmpeg: {error.strerror}") from error
    with container:
        stream = next((stream for stream in container.streams if stream.type == kind), None)
        if stream is None:
            kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
            raise MediaError("no-stream", f"no {kind} in it, only: {kinds}")
        stream.codec_context.thread_count = 1  # prepare runs one process per core
        end, decoded = 0.0, 0
        failure: Any = None
        packets = container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                failure = error
                break
            if packet is None:
                break
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != stream.index:
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                # One bad packet is no bad file: clips cut elsewhere begin between two key frames.
                failure = error
                continue
            decoded += len(frames)
            yield from frames
        _check_end(container, end)
        if failure is not None and not decoded:
            raise MediaError("undecodable", f"FFmpeg: {failure.strerror}") from failure


def _check_end(container: Any, end: float) -> None:
    if not container.format.name.startswith(DECLARING) or container.duration is None:
        return
    time_base = _pyav().time_base
    declared = container.duration / time_base
    end -= (container.start_time or 0) / time_base
    if end < COMPLETE * declared:
        raise MediaError("truncated", f"it ends after {end:.2f} of {declared:.2f} s")


def _timed(path: Path, first: float, last: float | None) -> Iterator[tuple[float, Any]]:
    """Seconds since the first frame, and frame, within a segment."""
    origin: float | None = None
    for number, frame in enumerate(_frames(path, "video")):
        time: float = number / 25 if frame.time is None else frame.time
        origin = time if origin is None else origin
        time -= origin
        if last is not None and time >= last - 2e-3:
            return
        if time >= first - 2e-3:
            yield time, frame


def _picture(frame: Any) -> Image.Image:
    picture: Image.Image = frame.to_image()
    return picture


def _segment(start: float | None, duration: float | None) -> tuple[float, float | None]:
    first = 0.0 if start is None else float(start)
    if first < 0:
        raise MediaError("zero-length", f"the segment begins at {first:g} s, before the file")
    if duration is None:
        return first, None
    if not duration > 0:
        raise MediaError("zero-length", f"the segment at {first:g} s lasts {duration:g} s")
    return first, first + duration
