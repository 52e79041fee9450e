"""Real files, made with real codecs."""

import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

FPS = 10
TONE = 440


def tone(seconds: float, rate: int) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def write_wav() -> Callable[..., Path]:
    """A tone at half scale, 16 bits; each channel is that much quieter than the one before it."""

    def write(path: Path, seconds: float = 1.0, rate: int = 44_100, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = np.stack([tone(seconds, rate) / 2**i for i in range(channels)], 1)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(np.rint(sound * 32768).astype("<i2").tobytes())
        return path

    return write


@pytest.fixture
def write_clip() -> Callable[..., Path]:
    """FLV (Sorenson H.263, MP3) or MP4 (H.264, AAC), by the name; frame i is of gray 6 i + 20."""

    def write(
        path: Path,
        seconds: float = 3.0,
        rate: int = 44_100,
        video: bool = True,
        audio: bool = True,
        options: dict[str, str] | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        flv = path.suffix == ".flv"
        with av.open(str(path), "w", options=options or {}) as file:
            packets = []
            if video:
                stream = file.add_stream("flv1" if flv else "libx264", rate=FPS)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            if audio:
                sound = file.add_stream("libmp3lame" if flv else "aac", rate=rate)
                sound.layout = "mono"
            if video:
                for i in range(round(FPS * seconds)):
                    gray = np.full((48, 64, 3), 6 * i + 20, np.uint8)
                    packets += stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24"))
                packets += stream.encode()
            if audio:
                samples = tone(seconds, rate).astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                frame.rate, frame.pts = rate, 0
                packets += sound.encode(frame)
                packets += sound.encode()
            # As players want them: sound and frames that belong together lie together.
            for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
                file.mux(packet)
        return path

    return write


@pytest.fixture
def write_picture() -> Callable[..., Path]:
    """A JPEG or PNG file, by the name, of one color."""

    def write(
        path: Path, size: tuple[int, int] = (40, 30), color: tuple[int, int, int] = (200, 100, 50)
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)
        return path

    return write


@pytest.fixture
def numbers_of() -> Callable[[list[Image.Image]], list[int]]:
    """Which frames of a clip these are, told by their gray."""

    def read(frames: list[Image.Image]) -> list[int]:
        return [round((float(np.asarray(frame).mean()) - 20) / 6) for frame in frames]

    return read
