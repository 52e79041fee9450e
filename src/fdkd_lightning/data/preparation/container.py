"""Decode one stream of an audio or video file with FFmpeg; no other module imports PyAV."""

import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from fdkd_lightning.data.preparation.media_error import COMPLETE, MediaError, check_file
from fdkd_lightning.ops.optional import require

DECLARING = ("flv", "mov", "matroska", "avi")
"""Formats that store their duration; for others, such as MP3, FFmpeg estimates it."""

CONTAINERS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav"
"""Formats that FFmpeg may detect: no playlists, which would make it read other files."""

DELAY = 0.1
"""Seconds by which a stream may begin after the other without being delayed.

Encoders begin that much later; it is not meant to be seen or heard.
"""

ATTACHED_PICTURE = 0x400
"""FFmpeg's mark of a stream that holds the cover of an album."""

MOST_FRAME_PIXELS = 8192 * 4352
"""Largest number of pixels of a video frame: 8K, in whole blocks."""


def pyav() -> Any:
    """Import PyAV."""
    return require("av", extra="media", purpose="decoding audio and video")


def decoded_frames(path: Path, kind: str) -> Iterator[tuple[float, Any]]:
    """Decode the first stream of a kind, ``"audio"`` or ``"video"``, each frame with its time.

    Time counts from the beginning of the file's sound or video, whichever begins first, so that
    equal times of the two belong together. A delay of up to ``DELAY`` seconds is disregarded: the
    stream then begins at 0.

    Returns:
        Pairs of time, seconds, and frame of PyAV.

    Raises:
        MediaError: If no frame can be decoded; at the end, if the file is truncated.
    """
    check_file(path)
    with _opened(path) as container:
        streams = [s for s in container.streams if s.type in ("audio", "video") and _moves(s)]
        stream = next((stream for stream in streams if stream.type == kind), None)
        if stream is None:
            kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
            raise MediaError("no-stream", f"the file has no {kind} stream, only: {kinds}")
        if stream.codec_context is None:
            raise MediaError("undecodable", f"FFmpeg has no decoder for the {kind} stream")
        stream.codec_context.thread_count = 1  # prepare runs one process per CPU
        starts = [s.start_time * s.time_base for s in streams if s.start_time is not None]
        zero = None if not starts else float(min(starts))
        origin: float | None = None
        for number, frame in enumerate(_frames(container, stream)):
            time: float = number / 25 if frame.time is None else frame.time
            if origin is None:
                delayed = zero is not None and time - zero > DELAY
                origin = zero if delayed and zero is not None else time
            yield time - origin, frame


def _moves(stream: Any) -> bool:
    """Return whether a stream is more than the cover of an album."""
    return not int(stream.disposition) & ATTACHED_PICTURE


def _opened(path: Path) -> Any:
    av = pyav()
    try:
        # Tags may be in any encoding.
        return av.open(
            str(path), options={"format_whitelist": CONTAINERS}, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        with path.open("rb") as file:
            mp4 = file.read(8)[4:] == b"ftyp"
        if mp4:
            raise MediaError("truncated", "the index at the end of the file is missing") from error
        if error.errno == errno.EINVAL:
            reason = f"the file has none of the formats {CONTAINERS.replace(',', ', ')}"
            raise MediaError("undecodable", reason) from error
        raise MediaError("undecodable", f"FFmpeg: {error.strerror}") from error


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decode a stream; check for truncation when the end is reached."""
    av = pyav()
    end, decoded, count = 0.0, 0, 0
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
            count += 1
            end = max(end, float(packet.pts * packet.time_base + _duration(packet)))
        if packet.stream.index != stream.index:
            continue
        _check_frame_size(stream.codec_context)
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            # A bad packet does not make a bad file: clips may begin between two key frames.
            failure = error
            continue
        decoded += len(frames)
        yield from frames
    _check_end(container, end, count)
    if failure is not None and not decoded:
        raise MediaError("undecodable", f"FFmpeg: {failure.strerror}") from failure


def _duration(packet: Any) -> Fraction:
    """Return the duration of a packet, in seconds; Flash video does not store it."""
    if packet.duration:
        duration: Fraction = packet.duration * packet.time_base
        return duration
    rate = getattr(packet.stream, "average_rate", None)
    return 1 / rate if rate else Fraction(0)


def _check_frame_size(codec: Any) -> None:
    if codec.type == "video" and codec.width * codec.height > MOST_FRAME_PIXELS:
        raise MediaError(
            "too-large",
            f"frames of {codec.width} x {codec.height} pixels: the limit is "
            f"{MOST_FRAME_PIXELS:,} pixels (8K); scale the video down",
        )


def _check_end(container: Any, end: float, count: int) -> None:
    if not container.format.name.startswith(DECLARING) or container.duration is None:
        return
    time_base = pyav().time_base
    declared = container.duration / time_base
    end -= (container.start_time or 0) / time_base
    # Nobody knows how long a single frame lasts.
    if end < COMPLETE * declared and (count > 1 or declared > 1):
        raise MediaError("truncated", f"the file ends after {end:.2f} of {declared:.2f} s")
