"""What is killed: commands, as a user repeats them until they are done."""

import os
import sys
from pathlib import Path

import torch

EPOCHS = 8


def fdkd(*arguments: str) -> None:
    from fdkd_lightning.cli import main

    torch.set_num_threads(1)
    sys.argv = ["fdkd", *arguments]
    main()


def fit(root: str) -> None:
    """Fit, or resume; kill or not, this is what a user repeats until it is done."""
    last = Path(root, "checkpoints/last.ckpt")
    resume = ["--ckpt_path=last"] if last.exists() else []
    fdkd("fit", "--config=fit.yaml", f"--trainer.default_root_dir={root}", *resume)


def cache(folder: str) -> None:
    """Build a teacher's cache in shards of a few rows, such that kills meet each stage."""
    from fdkd_lightning.training.cache import shard_plan

    shard_plan.MOST_ROWS = 64
    fdkd("cache", "--config=cache.yaml", f"--folder={folder}", "--data.size=20000")


def prepare(folder: str) -> None:
    from fdkd_lightning.data.preparation import prepare as room
    from fdkd_lightning.data.preparation.recipe import AudioRecipe
    from fdkd_lightning.data.preparation.sample import Sample

    samples = [Sample(str(i), "train", "", {"audio": f"{i}.wav"}) for i in range(60)]
    room.prepare(samples, Path("sound"), Path(folder), {"audio": AudioRecipe()}, 2, progress=False)


def study(workers: int) -> None:
    # Slow enough that most kills meet a run under way.
    os.environ["TINY_PAUSE"] = "0.005"
    fdkd("study", "study.yaml", f"--workers={workers}")


def export(folder: str, formats: str = "safetensors,torch_export") -> None:
    fdkd(
        "export",
        "--config=fit.yaml",
        "--trainer.default_root_dir=whole",
        f"--formats={formats}",
        f"--folder={folder}",
    )
