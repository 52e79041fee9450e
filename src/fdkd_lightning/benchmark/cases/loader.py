"""Loading a batch: decoded from its files, from prepared files, with the teacher cached."""

import tempfile
import wave
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.measure import Limits, measure
from fdkd_lightning.benchmark.row import Row, timed_rows
from fdkd_lightning.benchmark.run.stand_in_cache import StandInCache, write_stand_in
from fdkd_lightning.data.manifest import PairedManifest
from fdkd_lightning.data.preparation.prepare import prepare
from fdkd_lightning.data.preparation.recipe import AudioRecipe, ImageRecipe, Recipe
from fdkd_lightning.data.preparation.recipe.base import MediaRecipe
from fdkd_lightning.types import Output

RATE, SIDE = 16_000, 256
DECODED, PREPARED, CACHED = "decoded files", "prepared files", "prepared, teacher cached"


def write_pairs(folder: Path, samples: int) -> None:
    """Write pairs of a second of sound and an image, and the table ``pairs.csv``."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (samples, SIDE // 16, SIDE // 16, 3), np.uint8)
    for i, image in enumerate(blocks.repeat(16, 1).repeat(16, 2)):
        Image.fromarray(image).save(folder / f"{i}.png")
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, RATE, "NONE", ""))
            file.writeframes((3000 * rng.standard_normal(RATE)).astype(np.int16).tobytes())
    rows = [f"{i},train,{i % 2},{i}.wav,{i}.png" for i in range(samples)]
    rows.append("last,val,0,0.wav,0.png")
    (folder / "pairs.csv").write_text("\n".join(["id,split,label,audio,visual", *rows]))


def measure_loader(samples: int, limits: Limits) -> list[Row]:
    """Time a batch of all samples in each of the ways, without workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, samples)
        data, student = _pairs(folder, samples), _pairs(folder, samples)
        prepare(data.samples, folder, data.prepared, data.recipes, workers=0, progress=False)
        for each in (data, student):
            each.setup("fit")
        student.skip_modalities({"audio"})
        output = Output(torch.zeros(samples, 512), torch.zeros(samples, 10))
        teacher = write_stand_in(folder / "cache", output, maps=False)
        runs = {
            DECODED: partial(_decode, folder, data),
            PREPARED: partial(_load, data, None),
            CACHED: partial(_load, student, teacher),
        }
        timings = measure(runs, limits)
    size = f"{samples} pairs of 1 s of sound and {SIDE}x{SIDE} pixels"
    return timed_rows("loader", size, timings, {DECODED: PREPARED, CACHED: PREPARED})


def _pairs(folder: Path, samples: int) -> PairedManifest:
    recipes: dict[str, Recipe] = {"audio": AudioRecipe(RATE, 1), "visual": ImageRecipe(size=SIDE)}
    return PairedManifest(folder, "pairs.csv", recipes, batch_size=samples)


def _decode(folder: Path, data: PairedManifest) -> None:
    for i in range(data.batch_size):
        for modality, suffix in (("audio", "wav"), ("visual", "png")):
            recipe = data.recipes[modality]
            assert isinstance(recipe, MediaRecipe)
            recipe.encode(folder / f"{i}.{suffix}")
    _load(data, None)


def _load(data: PairedManifest, teacher: StandInCache | None) -> None:
    for batch in data.train_dataloader():
        if teacher is not None:
            teacher(batch["index"])


CASE = Case(
    "loader",
    "Loading a batch without workers, against reading prepared files: decoding the sources each "
    "time, and leaving out the modality of a cached teacher.",
    (partial(measure_loader, 64),),
)
