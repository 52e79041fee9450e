"""Reading prepared files against decoding clips: python examples/loading.py [CLIPS] [EPOCHS]."""

import resource
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from torch.utils.data import DataLoader

import fdkd_lightning as fdkd

SECONDS, RATE, FPS, WIDTH, HEIGHT = 3, 44_100, 25, 480, 360  # as CREMA-D's clips


def write_clip(path: Path, rng: np.random.Generator) -> None:
    # H.264 and AAC: a moving image, and noise.
    scene = rng.integers(0, 256, (HEIGHT // 40, 16, 3), np.uint8).repeat(40, 0).repeat(40, 1)
    noise = (0.2 * rng.standard_normal((1, SECONDS * RATE))).astype(np.float32)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        for i in range(SECONDS * FPS):
            image = np.ascontiguousarray(scene[:, 2 * i : 2 * i + WIDTH])
            file.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        sound = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        sound.rate = RATE
        file.mux([*video.encode(), *audio.encode(sound), *audio.encode()])


def main(clips: int = 12, epochs: int = 2) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        for i in range(clips):
            write_clip(folder / f"{i:04d}.mp4", rng)
        rows = (f"{i},train,{i % 2},{i:04d}.mp4,{i:04d}.mp4" for i in range(clips))
        (folder / "table.csv").write_text("\n".join(["id,split,label,audio,visual", *rows]))
        sounds, frames = fdkd.AudioRecipe(16_000, SECONDS), fdkd.FramesRecipe()
        recipes: dict[str, fdkd.data.Recipe] = {"audio": sounds, "visual": frames}
        data = fdkd.PairedManifest(folder, "table.csv", recipes, prepare_workers=0)
        start = time.perf_counter()
        data.prepare_data()
        decoded = clips / (time.perf_counter() - start)
        print(f"decoded and stored: {decoded:.0f} samples/s")
        loader = DataLoader(data.make_dataset("train"), batch_size=16)
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            speed = sum(len(batch["audio"]) for batch in loader) / (time.perf_counter() - start)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"epoch {epoch}: {speed:.0f} samples/s ({speed / decoded:.1f} x), {peak} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
