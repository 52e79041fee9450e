"""Decode audio and video frames with FFmpeg; no other module imports PyAV."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation.media_error import COMPLETE, MediaError, check_file
from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.ops.optional import require

DECLARING = ("flv", "mov", "matroska", "avi")
"""Formats that store their duration; for others, such as MP3, FFmpeg estimates it."""

CONTAINERS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav"
"""Formats that FFmpeg may detect: no playlists, which would make it read other files."""

CLOCK = 2e-3
"""Seconds by which the time of a frame may be off: streams round it, often to milliseconds."""


def read_audio(
    path: str | Path, rate: int, start: float | None = None, duration: float | None = None
) -> NDArray[np.float32]:
    """Decode the first audio stream of a file, resampled, as the mean of its channels.

    Args:
        path: Any audio or video file that FFmpeg can read.
        rate: Sampling rate of the output, Hz.
        start: Start of the segment, seconds after the first sample; None: 0.
        duration: Length of the segment, seconds; a file that ends before yields a shorter output.
            None: to the end of the file.

    Shape:
        - output: [S] float32, full scale is 1

    Raises:
        MediaError: If no audio can be decoded from the file.

    Example:
        >>> read_audio("absent.wav", rate=16000)
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media_error.MediaError: missing: there is no such file
    """
    first, last = _segment(start, duration)
    begin = round(first * rate)
    end = None if last is None else round(last * rate)
    parts: list[NDArray[np.float32]] = []
    decoded, resampler = 0, None
    for frame in _frames(Path(path), "audio"):
        if resampler is None:
            # Keep the layout: FFmpeg's own downmix would be louder than the mean of the channels.
            resampler = _pyav().AudioResampler("fltp", frame.layout, rate)
        for resampled in resampler.resample(frame):
            parts.append(resampled.to_ndarray().mean(0, dtype=np.float32))
            decoded += len(parts[-1])
        if end is not None and decoded >= end:
            break
    else:
        if resampler is not None:
            rest = resampler.resample(None)
            parts += [part.to_ndarray().mean(0, dtype=np.float32) for part in rest]
    sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    segment = sound[begin:end]
    if not len(segment):
        raise MediaError(
            "zero-length", f"no audio after {first:g} s: the file has {len(sound) / rate:.2f} s"
        )
    if not np.isfinite(segment).all():
        raise MediaError("undecodable", "some samples are NaN or infinite")
    return segment


def read_frames(
    path: str | Path,
    fps: float | None = None,
    count: int | None = None,
    least: int = 1,
    start: float | None = None,
    duration: float | None = None,
) -> list[Image.Image]:
    """Decode a video and return some of its frames.

    The video is decoded from its beginning: seeking in FLV is not reliable, and clips are short.

    Args:
        path: Any video that FFmpeg can read.
        fps: Return the frames at 0, 1/fps, 2/fps, ... seconds. Pass either this or ``count``.
        count: Return the middle frames of this number of equal segments; frames repeat where the
            video has fewer.
        least: Smallest number of frames with ``fps``: where there would be fewer, this number is
            chosen as with ``count``, but no frame twice.
        start: Start of the segment, seconds after the first frame; None: 0.
        duration: Length of the segment, seconds; None: to the end of the file.

    Returns:
        RGB images in temporal order.

    Raises:
        MediaError: If no frame can be decoded from the file.
        ValueError: If both or neither of ``fps`` and ``count`` are given, or one is out of range.

    Example:
        >>> read_frames("absent.flv", fps=1)
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media_error.MediaError: missing: there is no such file
    """
    if (fps is None) == (count is None):
        raise ValueError(f"fps={fps} and count={count}: pass one of the two")
    if fps is not None:
        check_range("fps", fps, above=0)
    if count is not None:
        check_range("count", count, 1)
    first, last = _segment(start, duration)
    path = Path(path)
    images: list[Image.Image] = []
    total, due = 0, 0.0
    for time, frame in _timed(path, first, last):
        total += 1
        if fps is not None and time - first >= due - CLOCK:
            images.append(frame.to_image())
            while due <= time - first + CLOCK:
                due += 1 / fps
    if not total:
        raise MediaError("zero-length", f"no frames after {first:g} s")
    if count is None:
        count = min(least, total)
        if len(images) >= count:
            return images
    # The number of frames is known only now: decode again rather than keep all in memory.
    wanted = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    kept = {}
    for number, (_, frame) in enumerate(_timed(path, first, last)):
        if number in wanted:
            kept[number] = frame.to_image()
    return [kept[number] for number in wanted]


def _pyav() -> Any:
    return require("av", extra="media", purpose="decoding audio and video")


def _frames(path: Path, kind: str) -> Iterator[Any]:
    """Decode the first stream of a kind; check for truncation when the end is reached."""
    check_file(path)
    av = _pyav()
    try:
        container = av.open(str(path), options={"format_whitelist": CONTAINERS})
    except av.FFmpegError as error:
        with path.open("rb") as file:
            mp4 = file.read(8)[4:] == b"ftyp"
        if mp4:
            raise MediaError("truncated", "the index at the end of the file is missing") from error
        if error.errno == errno.EINVAL:
            reason = f"the file has none of the formats {CONTAINERS.replace(',', ', ')}"
            raise MediaError("undecodable", reason) from error
        raise MediaError("undecodable", f"FFmpeg: {error.strerror}") from error
    with container:
        stream = next((stream for stream in container.streams if stream.type == kind), None)
        if stream is None:
            kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
            raise MediaError("no-stream", f"the file has no {kind} stream, only: {kinds}")
        stream.codec_context.thread_count = 1  # prepare runs one process per CPU
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
                # A bad packet does not make a bad file: clips may begin between two key frames.
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
        raise MediaError("truncated", f"the file ends after {end:.2f} of {declared:.2f} s")


def _timed(path: Path, first: float, last: float | None) -> Iterator[tuple[float, Any]]:
    """Yield the frames of a segment, each with its time in seconds after the first frame."""
    origin: float | None = None
    for number, frame in enumerate(_frames(path, "video")):
        time: float = number / 25 if frame.time is None else frame.time
        origin = time if origin is None else origin
        time -= origin
        if last is not None and time >= last - CLOCK:
            return
        if time >= first - CLOCK:
            yield time, frame


def _segment(start: float | None, duration: float | None) -> tuple[float, float | None]:
    first = 0.0 if start is None else float(start)
    if first < 0:
        raise MediaError("zero-length", f"the segment starts at {first:g} s, before the file")
    if duration is None:
        return first, None
    if not duration > 0:
        raise MediaError("zero-length", f"the segment at {first:g} s lasts {duration:g} s")
    return first, first + duration
