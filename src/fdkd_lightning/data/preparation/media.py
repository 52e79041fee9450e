"""Read sound and video frames as a stream, keeping no more than what is asked for."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation.container import decoded_frames
from fdkd_lightning.data.preparation.display import WHITE
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.mono_resampler import MonoResampler
from fdkd_lightning.data.preparation.video_frame import to_image, upright_step
from fdkd_lightning.ops.checks import check_count, check_range

CLOCK = 2e-3
"""Seconds by which the time of a frame may be off: streams round it, often to milliseconds."""

LONGEST = 3600.0
"""Longest sound to read, seconds: at 16 kHz it takes 230 MB."""

MOST_FRAMES = 7200
"""Largest number of frames to read, two hours at one frame per second."""

Kept = TypeVar("Kept")


def read_audio(
    path: str | Path,
    rate: int,
    start: float | None = None,
    duration: float | None = None,
    longest: float = LONGEST,
) -> NDArray[np.float32]:
    """Decode the first audio stream of a file, resampled, as the mean of its channels.

    Time counts as in :func:`~fdkd_lightning.data.preparation.container.decoded_frames`: before a
    sound that begins later than the video there is silence.

    Args:
        path: Any audio or video file that FFmpeg can read.
        rate: Sampling rate of the output, Hz.
        start: Start of the segment, seconds; None: 0.
        duration: Length of the segment, seconds; a file that ends before yields a shorter output.
            None: to the end of the file.
        longest: Longer sounds are refused, seconds.

    Shape:
        - output: [S] float32, full scale is 1

    Raises:
        MediaError: If no audio can be decoded from the file.
    """
    first, last = _segment(start, duration)
    begin = round(min(first, 1e9) * rate)
    end = None if last is None else round(min(last, 1e9) * rate)
    # It grows in place; joining arrays in the end would take twice the memory.
    sound = bytearray()
    position: int | None = None

    def keep(parts: Sequence[NDArray[np.float32]]) -> None:
        nonlocal position
        assert position is not None
        for part in parts:
            kept = part[max(0, begin - position) : None if end is None else max(0, end - position)]
            lead = position - begin if len(kept) and not sound else 0
            if len(sound) / 4 + max(0, lead) + len(kept) > longest * rate:
                raise MediaError(
                    "too-large",
                    f"more than {longest:g} s of sound: give the sample a start and a duration, or "
                    "raise longest of the recipe",
                )
            sound.extend(bytes(4 * max(0, lead)))
            sound.extend(kept.tobytes())
            position += len(part)

    resampler = MonoResampler(rate)
    for time, frame in decoded_frames(Path(path), "audio"):
        if position is None:
            position = round(min(time, 1e9) * rate)
        keep(resampler.resample(frame))
        if end is not None and position >= end:
            break
    else:
        if position is not None:
            keep(resampler.flush())
    segment = np.frombuffer(sound, np.float32)
    if not len(segment):
        heard = (position or 0) / rate
        raise MediaError("zero-length", f"no audio after {first:g} s: the file has {heard:.2f} s")
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
    *,
    bound: int | None = None,
    background: Sequence[int] = WHITE,
    convert: Callable[[Image.Image], Kept],
) -> list[Kept]:
    """Decode a video and return some of its frames, upright.

    The video is decoded from its beginning: seeking in FLV is not reliable, and clips are short.
    Time counts as in :func:`~fdkd_lightning.data.preparation.container.decoded_frames`: before a
    video that begins later than the sound there are no frames.

    Args:
        path: Any video that FFmpeg can read.
        fps: Return the frames at 0, 1/fps, 2/fps, ... seconds. Pass either this or ``count``.
        count: Return the middle frames of this number of equal segments; frames repeat where the
            video has fewer.
        least: Smallest number of frames with ``fps``: where there would be fewer, this number is
            chosen as with ``count``, but no frame twice.
        start: Start of the segment, seconds; None: 0.
        duration: Length of the segment, seconds; None: to the end of the file.
        bound: Shorter side to which frames above 4K are scaled while they are converted; None: no
            frame is scaled.
        background: Colour behind transparent frames.
        convert: Function that makes what is to be kept from each RGB image at once, so that no
            more than one whole frame is in memory.

    Returns:
        The converted frames in temporal order.

    Raises:
        MediaError: If no frame can be decoded from the file, the size of its frames changes, or
            there are more than ``MOST_FRAMES``.
        ValueError: If both or neither of ``fps`` and ``count`` are given, or one is out of range.
    """
    if (fps is None) == (count is None):
        raise ValueError(f"fps={fps} and count={count}: pass one of the two")
    if fps is not None:
        check_range("fps", fps, above=0)
    if count is not None:
        check_count("count", count, 1, MOST_FRAMES)
    first, last = _segment(start, duration)
    path = Path(path)
    size: tuple[int, int] | None = None
    step: Image.Transpose | None = None

    def keep(time: float, frame: Any) -> Kept:
        nonlocal size, step
        if size is None:
            size, step = (frame.width, frame.height), upright_step(frame)
        if size != (frame.width, frame.height):
            raise MediaError(
                "undecodable",
                f"the size of the frames changes at {time:.2f} s from {size[0]} x {size[1]} "
                f"to {frame.width} x {frame.height}: cut or scale the video",
            )
        return convert(to_image(frame, bound, background, step))

    images: list[Kept] = []
    total, due = 0, 0.0
    for time, frame in _within(path, first, last):
        total += 1
        if fps is not None and time - first >= due - CLOCK:
            if len(images) == MOST_FRAMES:
                raise MediaError(
                    "too-large",
                    f"more than {MOST_FRAMES} frames at fps={fps:g}: lower fps, or give the sample "
                    "a start and a duration",
                )
            images.append(keep(time, frame))
            if time - first - due > 1000 / fps:  # a leap of the clock
                due = math.floor((time - first) * fps) / fps
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
    numbers, kept = {*wanted}, {}
    for number, (time, frame) in enumerate(_within(path, first, last)):
        if number in numbers:
            kept[number] = keep(time, frame)
    return [kept[number] for number in wanted]


def _within(path: Path, first: float, last: float | None) -> Any:
    """Yield the frames of a segment, each with its time in seconds."""
    for time, frame in decoded_frames(path, "video"):
        if last is not None and time >= last - CLOCK:
            return
        if time >= first - CLOCK:
            yield time, frame


def _segment(start: float | None, duration: float | None) -> tuple[float, float | None]:
    first = 0.0 if start is None else float(start)
    if first < 0:
        raise MediaError("zero-length", f"the segment starts at {first:g} s, before the file")
    if not math.isfinite(first):
        raise MediaError("zero-length", f"start={first:g} is not a number of seconds")
    if duration is None:
        return first, None
    if not duration > 0:
        raise MediaError("zero-length", f"the segment at {first:g} s lasts {duration:g} s")
    return first, first + duration
