"""Damaged and odd media files: each costs only itself, and none is silently wrong."""

import io
import os
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.manifest_file import read_manifest
from fdkd_lightning.data.preparation.prepare import prepare
from fdkd_lightning.data.preparation.recipe import AudioRecipe, FramesRecipe, ImageRecipe, Recipe
from fdkd_lightning.data.preparation.sample import Sample

CASES = int(os.environ.get("FDKD_FUZZ_CASES", "24"))
RATE = 8_000
RECIPES: dict[str, Recipe] = {
    "image": ImageRecipe(bound=32),
    "audio": AudioRecipe(RATE, seconds=None, longest=60),
    "frames": FramesRecipe(bound=32),
}
STATUSES = {
    "empty",
    "no-stream",
    "too-large",
    "truncated",
    "undecodable",
    "unreadable",
    "zero-length",
}
Rng = np.random.Generator
Check = Callable[[Path], None]
"""Assert the value of a compact form; for files that do have a meaning."""


def image_bytes(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    image = Image.new("RGB", size, (200, 100, 50)).convert(mode)
    image.save(content, kind)
    return content.getvalue()


def wav_bytes(channels: int = 1, rate: int = RATE, seconds: float = 0.2) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.full(round(seconds * rate) * channels, 8_192, "<i2").tobytes())
    return content.getvalue()


def clip_bytes(kind: str, degrees: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=kind) as file:
        stream = file.add_stream("flv1" if kind == "flv" else "mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if degrees and hasattr(stream, "set_display_rotation"):
            stream.set_display_rotation(degrees)
        sound = file.add_stream("libmp3lame", rate=22_050)
        sound.layout = "mono"
        packets = []
        for _ in range(5):
            gray = np.full((size[1], size[0], 3), 128, np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24"))
        packets += stream.encode()
        block = av.AudioFrame.from_ndarray(np.zeros((1, 11_025), np.float32), "fltp", "mono")
        block.rate, block.pts = 22_050, 0
        packets += [*sound.encode(block), *sound.encode()]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            file.mux(packet)
    return content.getvalue()


IMAGES = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
CLIPS = ("flv", "mp4", "avi", "matroska", "mpegts")


def damaged(rng: Rng) -> tuple[str, bytes, None]:
    """A file with flipped bits, cut off, lengthened, or with a part of another."""
    modality = str(rng.choice([*RECIPES]))
    original = {
        "image": lambda: image_bytes(str(rng.choice(IMAGES))),
        "audio": lambda: wav_bytes(int(rng.integers(1, 9))),
        "frames": lambda: clip_bytes(str(rng.choice(CLIPS))),
    }[modality]()
    content = bytearray(original)
    way = rng.integers(5)
    if way == 0:
        for i in rng.integers(len(content), size=rng.integers(1, 40)):
            content[i] ^= 1 << int(rng.integers(8))
    elif way == 1:
        content = content[: rng.integers(len(content))]
    elif way == 2:
        at = int(rng.integers(len(content)))
        content[at : at + 200] = rng.bytes(200)
    elif way == 3:
        at = int(rng.integers(min(64, len(content))))
        content[at : at + 4] = b"\xff\xff\xff\xff"
    else:
        content = bytearray(rng.bytes(int(rng.integers(1, 3_000))))
    return modality, bytes(content), None


def other_kind(rng: Rng) -> tuple[str, bytes, None]:
    """A file of another modality."""
    if rng.random() < 0.5:
        return "image", wav_bytes(), None
    return "frames", wav_bytes(), None


def turned(rng: Rng) -> tuple[str, bytes, Check]:
    """A photo or a video with an orientation."""
    orientation = int(rng.integers(1, 9))
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Its longer side is stored horizontally.
    Image.new("RGB", (30, 20)).save(content, "JPEG", exif=exif)

    def check(form: Path) -> None:
        with Image.open(form) as image:
            assert image.size == ((20, 30) if orientation > 4 else (30, 20))

    return "image", content.getvalue(), check


def transparent(rng: Rng) -> tuple[str, bytes, Check]:
    """An image that is transparent all over; whatever colour is underneath is not seen."""
    content = io.BytesIO()
    colour = tuple(map(int, rng.integers(256, size=3)))
    image = Image.new("RGBA", (20, 20), (*colour, 0))
    image.convert(str(rng.choice(["RGBA", "LA"]))).save(content, str(rng.choice(["PNG", "WEBP"])))

    def check(form: Path) -> None:
        with Image.open(form) as image:
            assert np.asarray(image).min() > 250

    return "image", content.getvalue(), check


def channels(rng: Rng) -> tuple[str, bytes, Check]:
    """Sound of up to 64 channels, all at a quarter of full scale."""
    number, rate = int(rng.integers(1, 65)), int(rng.choice([RATE, 11_025, 48_000]))

    def check(form: Path) -> None:
        sound = np.load(form)
        assert abs(len(sound) - 1_600) <= 4
        np.testing.assert_allclose(sound[400:1200], 8_192, atol=40)

    return "audio", wav_bytes(number, rate), check


def extreme(rng: Rng) -> tuple[str, bytes, Check | None]:
    """Sizes, rates and lengths beyond all limits, and those just within."""
    kind = rng.integers(5)
    if kind == 0:
        return "image", image_bytes("PNG", (66_000, 3), "L"), None
    if kind == 1:
        return "image", image_bytes("PNG", (13_000, 13_000), "1"), None
    if kind == 2:
        return "audio", wav_bytes(1, 1, 61), None
    if kind == 3:
        return "audio", wav_bytes(200), None

    def check(form: Path) -> None:
        with Image.open(form) as image:
            assert image.size == (65_000, 3)

    return "image", image_bytes("PNG", (65_000, 3), "L"), check


GENERATORS: list[Callable[[Rng], tuple[str, bytes, Any]]] = [
    damaged,
    damaged,
    damaged,
    other_kind,
    turned,
    transparent,
    channels,
    extreme,
]


def outcome(status: str, reason: str, form: Path | None, check: Check | None) -> str:
    """Class of what became of a file."""
    if status in ("crashed", "timed-out"):
        return {"crashed": "crashed", "timed-out": "hung"}[status]
    if status != "ok":
        assert status in STATUSES, reason
        return "obscure" if "Error: " in reason else "rejected"
    assert form is not None
    if check is not None:
        check(form)
        return "meaningful"
    # A damaged file may still be whole enough: what is kept can then be loaded.
    return "meaningful"


@pytest.mark.parametrize("workers", [1])
def test_odd_files_cost_only_themselves(tmp_path: Path, workers: int) -> None:
    (tmp_path / "root").mkdir()
    samples, checks = [], []
    for i in range(CASES):
        rng = np.random.default_rng((14, i))
        modality, content, check = GENERATORS[i % len(GENERATORS)](rng)
        (tmp_path / "root" / f"{i}").write_bytes(content)
        checks.append((modality, check))
        samples.append(Sample(f"{i}", "train", "", {modality: f"{i}"}, where=f"case {i}"))
    folder = tmp_path / "prepared"
    report = prepare(
        samples, tmp_path / "root", folder, RECIPES, workers, min_coverage=0, progress=False
    )
    classes: Counter[str] = Counter()
    for row, (modality, check) in zip(read_manifest(report.manifest, RECIPES), checks, strict=True):
        # The other modalities are absent, which is no fault.
        status = "ok" if row.status == "absent" else row.status
        source = row.sources.get(modality)
        form = None if source is None else folder / source
        if check is not None:
            assert status == "ok", f"case {row.id}: {row.reason}"
        if form is not None:
            recipe: Any = RECIPES[modality]
            assert recipe.load(form, None).isfinite().all()
            assert recipe.load(form, np.random.default_rng(0)).isfinite().all()
        classes[outcome(status, row.reason, form, check)] += 1
        if status != "ok":
            assert f"{modality} {row.id}: {status}: " in row.reason
    print(dict(classes))
    assert not classes["crashed"]
    assert not classes["hung"]
    assert classes["obscure"] <= 0.02 * CASES
    assert classes.total() == CASES
