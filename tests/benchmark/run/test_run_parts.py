import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from small import Host, Norm, beside, distilled, unimodal

from fdkd_lightning.benchmark.run.run_parts import parts_of


def trainer(**settings: Any) -> Trainer:
    return Trainer(accelerator="cpu", logger=False, **settings)


def test_the_parts_of_a_module() -> None:
    student = Norm(4)
    module = distilled(student)
    parts = parts_of(module, trainer())
    assert parts.student is student
    assert [*parts.named_teachers()] == ["audio"]
    assert parts.distiller is module.distiller
    assert parts.why_not_cached() is None


def test_the_parts_of_a_callback() -> None:
    callback = beside()
    parts = parts_of(Host(), trainer(callbacks=[callback]))
    assert parts.student is None
    assert parts.callback is callback
    assert parts.distiller is callback.distiller


def test_why_a_cache_would_change_nothing() -> None:
    assert parts_of(unimodal(), trainer()).why_not_cached() == "the run has no teacher"
    assert parts_of(Host(), trainer()).why_not_cached() == "the run has no teacher"
    trained = distilled(train_teachers=True)
    assert "train_teachers=True" in str(parts_of(trained, trainer()).why_not_cached())
