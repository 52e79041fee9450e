"""Made-up folders of runs."""

import csv
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTED = "2020-01-01T00:00:00+00:00"
CONFIG = {
    "model": {
        "class_path": "fdkd_lightning.DistillationModule",
        "init_args": {
            "student_modality": "audio",
            "teachers": {"visual": {}},
            "criterion": {"class_path": "fdkd_lightning.FDKDLoss"},
        },
    },
    "data": {"class_path": "mine.Data"},
    "checkpoint": {"monitor": "val/accuracy", "mode": "max"},
}
LOSS = [4.0, 3.0, 2.5, 2.25]
ACCURACY = [0.25, 0.75, 0.5, 0.625]
NAMES = ("cat", "dog", "fish")
# True class, probability of each: right, right, taken for fish, right, without a label.
SAMPLES: list[tuple[int | None, list[float]]] = [
    (0, [0.75, 0.25, 0.0]),
    (1, [0.125, 0.625, 0.25]),
    (1, [0.0, 0.25, 0.75]),
    (0, [1.0, 0.0, 0.0]),
    (None, [0.5, 0.25, 0.25]),
]


def checkpoint(name: str, epoch: int) -> dict[str, Any]:
    metrics = {"val/accuracy": ACCURACY[epoch]}
    step = 10 * (epoch + 1)
    validation = {"step": step, "whole_split": True, "metrics": metrics}
    sha256 = f"hash of epoch {epoch}"
    return {
        "file": f"{name}.ckpt",
        "sha256": sha256,
        "epoch": epoch,
        "step": step,
        "validation": validation,
    }


def record(**fit: Any) -> dict[str, Any]:
    """``run.json`` of four epochs of ten steps, of which the second is the best, and its test."""
    data = {"class_path": "mine.Data", "init_args": {}}
    best = checkpoint("best", 1)
    test = {
        "split": "test",
        "checkpoint": best,
        "metrics": {"test/accuracy": 0.75, "test/loss": 1.5},
        "whole_split": True,
        "data": data,
        "command": ["test", "--config=a.yaml"],
        "finished": STARTED,
    }
    facts = {
        "command": ["fit", "--config=a.yaml", "--overwrite=true"],
        "config": CONFIG,
        "data": data,
        "coverage": {"train": {"used": 90, "missing": 10}},
        "weights": {"teachers.visual": {"file": "t.ckpt", "sha256": "abc"}},
        "seed": 7,
        "versions": {"torch": "2"},
        "commit": None,
        "ranks": 1,
        "device": "cpu",
        "precision": "32-true",
        "resumed_from": None,
        "started": STARTED,
        "finished": STARTED,
        "seconds": 12.5,
        "epochs": 4,
        "steps": 40,
    }
    checkpoints = {"best": best, "last": checkpoint("last", 3)}
    return {
        "version": 1,
        "fit": facts | fit,
        "checkpoints": checkpoints,
        "evaluations": [test],
    }


def write_log(folder: Path, version: int, rows: Sequence[dict[str, Any]]) -> Path:
    path = folder / f"logs/version_{version}/metrics.csv"
    path.parent.mkdir(parents=True)
    names = sorted({name for row in rows for name in row})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def log_rows(validated: bool = True) -> list[dict[str, Any]]:
    """As Lightning logs: rows of training and of validation, ten steps an epoch."""
    rows: list[dict[str, Any]] = [{"step": 0, "teacher/visual/accuracy": 0.5}]
    for epoch, (loss, accuracy) in enumerate(zip(LOSS, ACCURACY, strict=True)):
        place = {"epoch": epoch, "step": 10 * epoch + 9}
        low = math.nan if epoch == 2 else loss / 4
        if validated:
            rows.append(place | {"val/accuracy": accuracy, "val/loss": 2 * loss})
        rows.append(place | {"train/loss": loss, "train/low": low})
    return rows


def write_predictions(
    folder: Path,
    samples: Sequence[tuple[int | None, Sequence[float]]] = SAMPLES,
    names: Sequence[str] = NAMES,
) -> Path:
    path = folder / "predictions.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "label", "class", *names])
        for index, (label, shares) in enumerate(samples):
            best = names[max(range(len(names)), key=lambda k: shares[k])]
            label_name = "" if label is None else names[label]
            writer.writerow([index, label_name, best, *(f"{p:.6f}" for p in shares)])
    return path


def write_run(folder: Path, **fit: Any) -> Path:
    """A folder with all that a run and its test leave."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record(**fit)))
    write_log(folder, 0, log_rows())
    write_predictions(folder)
    return folder


def make_older(path: Path) -> None:
    """Older than the run."""
    os.utime(path, (0, 0))
