"""Lets the tests of this folder, which pytest does not import as a package, share their helpers."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def analysis_row() -> dict[str, Any]:
    """A row of an analysis, as ``analysis.json`` holds it."""
    return {
        "teacher": "audio",
        "student": "visual",
        "pairs": 800,
        "groups": 6,
        "r2": 0.241,
        "r2_shuffled": [0.004, -0.012],
        "r2_shuffled_in_groups": [0.15, 0.13],
        "r2_reverse": 0.1,
        "r2_reverse_shuffled": [0.0, 0.0],
        "r2_new_groups": 0.08,
        "r2_new_groups_shuffled": [0.01, 0.0],
        "cka": 0.5,
        "cka_shuffled": 0.25,
        "bands": [0.4, 0.1, 0.3],
        "bands_with_dc": [0.9, 0.1, 0.8],
        "bands_permuted": [[0.3, 0.25, 0.3], [0.2, 0.25, 0.3]],
        "teacher_knows_classes": True,
        "teacher_accuracy": 0.8,
        "probe_accuracy": 0.75,
        "probe_labels": 20,
        "chance": 0.1,
        "student_checkpoint": "student.ckpt",
        "student_accuracy": 0.6,
        "headroom": 0.4,
    }


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], list[Any]]:
    """Lets a module keep the figures it makes in a list, and write none: that takes longest."""

    def keep(module: ModuleType) -> list[Any]:
        figures: list[Any] = []

        def save(figure: Any, folder: Path, name: str) -> list[Path]:
            figures.append(figure)
            return [folder / f"{name}.png"]

        monkeypatch.setattr(module, "save_figure", save)
        return figures

    return keep
