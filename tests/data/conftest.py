"""Real files, written with real codecs, and a quiet trainer."""

import tempfile
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from fdkd_lightning.data.preparation import prepare
from fdkd_lightning.data.sets.nyu_classes import NYU_40, SAME_NAME

FPS = 10
TONE = 440


def tone(seconds: float, rate: int) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)


@pytest.fixture(scope="session")
def write_wav() -> Callable[..., Path]:
    """A tone at half scale, 16 bits; each channel is half as loud as the one before it."""

    def write(path: Path, seconds: float = 1.0, rate: int = 44_100, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = np.stack([tone(seconds, rate) / 2.0**i for i in range(channels)], 1)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(np.rint(sound * 32768).astype("<i2").tobytes())
        return path

    return write


@cache
def encode_clip(
    suffix: str, seconds: float, rate: int, video: bool, audio: bool, faststart: bool
) -> bytes:
    """Contents of a clip; the same for all tests, as encoding takes long."""
    flv = suffix == ".flv"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{suffix}"
        options = {"movflags": "faststart"} if faststart else {}
        with av.open(str(path), "w", options=options) as file:
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
            # Players expect audio and video of the same time close together.
            for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
                file.mux(packet)
        return path.read_bytes()


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """FLV (Sorenson H.263, MP3) or MP4 (H.264, AAC), by the name; frame i has gray 6 i + 20."""

    def write(
        path: Path,
        seconds: float = 3.0,
        rate: int = 44_100,
        video: bool = True,
        audio: bool = True,
        faststart: bool = False,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_clip(path.suffix, seconds, rate, video, audio, faststart))
        return path

    return write


@pytest.fixture(autouse=True)
def decode_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data modules decode in the process of the test, which saves the start of another."""
    monkeypatch.setattr(prepare.joblib, "cpu_count", lambda: 0)


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """A trainer on the CPU that shows nothing."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}

    def make(**settings: Any) -> Trainer:
        return Trainer(accelerator="cpu", default_root_dir=tmp_path, **quiet, **settings)

    return make


@pytest.fixture(scope="session")
def write_picture() -> Callable[..., Path]:
    """A JPEG or PNG file, by the name, of one colour."""

    def write(
        path: Path, size: tuple[int, int] = (40, 30), color: tuple[int, int, int] = (200, 100, 50)
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)
        return path

    return write


@pytest.fixture
def numbers_of() -> Callable[[list[Image.Image]], list[int]]:
    """Numbers of frames of a clip, from their gray."""

    def read(frames: list[Image.Image]) -> list[int]:
        return [round((float(np.asarray(frame).mean()) - 20) / 6) for frame in frames]

    return read


ROOM = {
    # Of the 40 classes -> its value in the owner's file, color, distance in metres.
    -100: (0, (0, 0, 0), 9.0),
    0: (21, (250, 240, 20), 4.0),  # wall
    1: (11, (20, 200, 60), 2.5),  # floor
    3: (157, (200, 30, 40), 3.25),  # bed
    39: (1, (30, 60, 250), 1.0002),  # book, of which there is otherprop
}
VALUE, COLOR, DISTANCE = range(3)


def room(i: int, size: tuple[int, int]) -> NDArray[np.int64]:
    """The classes of picture i: void above, wall, floor, a bed on the left and a book on it."""
    height, width = size
    classes = np.zeros(size, np.int64)
    classes[: height // 12] = -100
    classes[height // 2 + i % 4 :] = 1
    classes[height // 2 : -height // 6, : width // 3 + i % 5] = 3
    classes[height // 2 + 2 : height // 2 + 10, width // 8 : width // 4] = 39
    return classes


def look(classes: NDArray[np.int64], what: int) -> NDArray[Any]:
    """A value, color or distance for each pixel."""
    look_up = np.array([ROOM.get(k, ROOM[-100])[what] for k in range(-100, 40)])
    found: NDArray[Any] = look_up[classes + 100]
    return found


def _cells(file: Any, name: str, texts: list[str]) -> None:
    """A cell array of texts, as MATLAB writes it: references to arrays of UTF-16."""
    held = {
        text: file.create_dataset(
            f"#refs#/{name}{n}", data=np.array([[ord(c)] for c in text], np.uint16)
        )
        for n, text in enumerate(dict.fromkeys(texts))
    }
    cells = file.create_dataset(name, (1, len(texts)), h5py.ref_dtype)
    cells[0] = [held[text].ref for text in texts]


def _write_labeled(root: Path, rooms: list[NDArray[np.int64]], split: int) -> None:
    def stored(what: int, dtype: Any) -> NDArray[Any]:
        # MATLAB's files have the last axis first.
        return np.stack([look(classes, what).T for classes in rooms]).astype(dtype)

    names = 894 * ["thing"]
    for value, name in zip(SAME_NAME, NYU_40[:37], strict=True):
        names[value - 1] = name
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file["images"] = stored(COLOR, np.uint8)
        file["depths"] = stored(DISTANCE, np.float32)
        raw = stored(DISTANCE, np.float32)
        raw[:, :5] = 0  # the first columns
        file["rawDepths"] = raw
        file["labels"] = stored(VALUE, np.uint16)
        _cells(file, "names", names)
        # Three pictures of one scene follow upon each other.
        _cells(file, "scenes", [f"scene_{i // 3:04d}" for i in range(len(rooms))])
    numbers = np.arange(1, len(rooms) + 1, dtype=np.uint16)[:, None]
    savemat(root / "splits.mat", {"trainNdxs": numbers[:split], "testNdxs": numbers[split:]})


def _write_unpacked(root: Path, rooms: list[NDArray[np.int64]], split: int) -> None:
    for folder in ("RGB", "HHA", "Label"):
        (root / folder).mkdir(parents=True)
    for i, classes in enumerate(rooms):
        color = look(classes, COLOR).astype(np.uint8)
        Image.fromarray(color).save(root / f"RGB/{i}.jpg", quality=95)
        Image.fromarray(255 - color).save(root / f"HHA/{i}.jpg", quality=95)
        numbers = np.where(classes < 0, 0, classes + 1).astype(np.uint8)
        Image.fromarray(numbers).save(root / f"Label/{i}.png")
    (root / "train.txt").write_text("".join(f"{i}\n" for i in range(split)))
    (root / "test.txt").write_text("".join(f"{i}\n" for i in range(split, len(rooms))))


def _write_sagate(root: Path, rooms: list[NDArray[np.int64]], split: int) -> None:
    """As `_write_unpacked`, with the lists of SA-Gate and depth in metres."""
    _write_unpacked(root, rooms, split)
    (root / "Depth").mkdir()
    for i, classes in enumerate(rooms):
        np.save(root / f"Depth/{i}.npy", look(classes, DISTANCE).astype(np.float32))
    for name, numbers in (("train", range(split)), ("test", range(split, len(rooms)))):
        lines = (f"RGB/{i}.jpg\tLabel/{i}.png\n" for i in numbers)
        (root / f"{name}.txt").write_text("".join(lines))


def _write_esanet(root: Path, rooms: list[NDArray[np.int64]], split: int) -> None:
    lines: dict[str, str] = {"train": "", "test": ""}
    for i, classes in enumerate(rooms):
        part = "train" if i < split else "test"
        numbers = np.where(classes < 0, 0, classes + 1).astype(np.uint8)
        steps = (look(classes, DISTANCE) * 1000).astype(np.uint16)
        raw = steps.copy()
        raw[:, :5] = 0
        images = {"rgb": look(classes, COLOR).astype(np.uint8), "labels_40": numbers}
        for folder, image in (images | {"depth": steps, "depth_raw": raw}).items():
            (root / part / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / part / folder / f"{i + 1:04d}.png")
        lines[part] += f"{i + 1:04d}\n"
    for part, text in lines.items():
        (root / f"{part}.txt").write_text(text)


def _write_listed(root: Path, rooms: list[NDArray[np.int64]], split: int) -> None:
    for folder in ("rgb", "masks", "depth"):
        (root / folder).mkdir(parents=True)
    lines = []
    for i, classes in enumerate(rooms):
        Image.fromarray(look(classes, COLOR).astype(np.uint8)).save(root / f"rgb/{i}.png")
        steps = np.rint(look(classes, DISTANCE) * 5000).astype(np.uint16)
        Image.fromarray(steps).save(root / f"depth/{i}.png")
        # Its masks leave out a margin.
        mask = np.where(classes < 0, 255, classes)[4:-5, 6:-6].astype(np.uint8)
        Image.fromarray(mask).save(root / f"masks/{i}.png")
        lines.append(f"rgb/{i}.png\tmasks/{i}.png\tdepth/{i}.png\n")
    (root / "train.txt").write_text("".join(lines[:split]))
    (root / "val.txt").write_text("".join(lines[split:]))


@pytest.fixture
def write_nyu() -> Callable[..., list[NDArray[np.int64]]]:
    """A miniature of NYU Depth V2 in one of its forms; returns the classes of its pictures."""

    def write(
        root: Path, form: str, count: int = 12, size: tuple[int, int] = (48, 64), split: int = 9
    ) -> list[NDArray[np.int64]]:
        root.mkdir(parents=True, exist_ok=True)
        rooms = [room(i, size) for i in range(count)]
        forms = {
            "labeled": _write_labeled,
            "unpacked": _write_unpacked,
            "sagate": _write_sagate,
            "esanet": _write_esanet,
            "listed": _write_listed,
        }
        forms[form](root, rooms, split)
        return rooms

    return write
