"""How fast are prepared files, against decoding them each epoch? Real clips, made on the spot.

python examples/loading.py [CLIPS] [EPOCHS]: samples per second of both, and memory after each epoch
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import fdkd_lightning as fdkd
from fdkd_lightning.data import Recipe
from fdkd_lightning.data.preparation.media import read_audio, read_frames

SECONDS, RATE, FPS, WIDTH, HEIGHT = 3, 44_100, 25, 480, 360  # as CREMA-D's clips


def write_clip(path: Path, rng: np.random.Generator) -> None:
    """H.264 and AAC: a picture that moves, and noise."""
    scene = np.asarray(
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((640, HEIGHT))
    )
    noise = (0.2 * rng.standard_normal((1, SECONDS * RATE))).astype(np.float32)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        for i in range(SECONDS * FPS):
            picture = np.ascontiguousarray(scene[:, 2 * i : 2 * i + WIDTH])
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        sound.rate = RATE
        file.mux(audio.encode(sound))
        file.mux(audio.encode())


class Raw(Dataset[fdkd.Batch]):
    """What a loader without a prepared form does: decode the clip, take one frame."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.mp4"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> fdkd.Batch:
        frames = read_frames(self.paths[i], fps=1)
        picture = np.asarray(frames[len(frames) // 2].resize((224, 224)))
        sound = read_audio(self.paths[i], 16_000)[: 16_000 * SECONDS]
        sound = np.resize(sound, 16_000 * SECONDS)
        visual = torch.from_numpy(picture.copy()).float() / 255
        return {"visual": visual, "audio": torch.from_numpy(sound)}


def epoch(loader: DataLoader[fdkd.Batch]) -> float:
    """Samples per second."""
    start, seen = time.perf_counter(), 0
    for batch in loader:
        seen += len(batch["audio"])
    return seen / (time.perf_counter() - start)


def main(clips: int = 64, epochs: int = 5) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        for i in range(clips):
            write_clip(folder / f"{i:04d}.mp4", rng)
        rows = [f"{i},train,{i % 2},{i:04d}.mp4,{i:04d}.mp4" for i in range(clips)]
        (folder / "table.csv").write_text("\n".join(["id,split,label,audio,visual", *rows]))
        recipes: dict[str, Recipe] = {
            "audio": fdkd.AudioRecipe(16_000, SECONDS),
            "visual": fdkd.FramesRecipe(),
        }
        data = fdkd.PairedManifest(folder, "table.csv", recipes, batch_size=16)
        data.prepare_data()
        raw = epoch(DataLoader(Raw(folder), batch_size=16))
        print(f"decoded each epoch: {raw:.0f} samples/s")
        loader = DataLoader(data.make_dataset("train"), batch_size=16)
        for number in range(1, epochs + 1):
            speed = epoch(loader)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            told = f"{speed:.0f} samples/s ({speed / raw:.1f} x), peak memory {peak:.0f} MiB"
            print(f"prepared, epoch {number}: {told}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
