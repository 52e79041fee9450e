"""A study of the user's own module in ``tiny.py``, whose runs take a moment."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from fdkd_lightning.study.cell import Result
from fdkd_lightning.study.execute import run_study
from fdkd_lightning.study.plan import Study, method_runs, read_study, teacher_runs
from fdkd_lightning.study.planned_run import Run

TINY = Path(__file__).with_name("tiny.py")
TEACHER_OF = {"audio": "visual", "visual": "audio"}


def configurations() -> dict[str, Any]:
    """File name -> content of what the study's methods are made of."""
    trainer = {"accelerator": "cpu", "max_epochs": 2}
    data = {"class_path": "tiny.Pairs"}
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}}
    net = {m: {"class_path": "tiny.Net", "init_args": {"modality": m}} for m in TEACHER_OF}
    files: dict[str, Any] = {"no_teacher.yaml": {"model": {"init_args": {"teachers": {}}}}}
    for modality, other in TEACHER_OF.items():
        alone = {"modality": modality, "model": net[modality], "optimizer": optimizer}
        pretrained = {"model": net[other], "checkpoint": "the/studys/own.ckpt"}
        criterion = {
            "decoupler": {"class_path": "fdkd_lightning.FrequencyDecoupler"},
            "alignment": {"class_path": "fdkd_lightning.SharedAlignmentHead"},
            "channel_reduction": {"class_path": "fdkd_lightning.SumOverChannels"},
        }
        distilled = {
            "student_modality": modality,
            "student": net[modality],
            "teachers": {
                other: {"class_path": "fdkd_lightning.PretrainedModel", "init_args": pretrained}
            },
            "criterion": {"class_path": "fdkd_lightning.FDKDLoss", "init_args": criterion},
            "optimizer": optimizer,
        }
        for name, module, init_args in (
            ("unimodal", "UnimodalModule", alone),
            ("distill", "DistillationModule", distilled),
        ):
            model = {"class_path": f"fdkd_lightning.{module}", "init_args": init_args}
            files[f"{name}_{modality}.yaml"] = {"trainer": trainer, "model": model, "data": data}
    return files


def settings() -> dict[str, Any]:
    """The study's file: one direction, one regime, one seed, a baseline, a method, a control."""
    return {
        "folder": "out",
        "teacher": ["unimodal_$teacher.yaml"],
        "directions": {"to visual": {"student": "visual", "teachers": ["audio"]}},
        "regimes": {"full": {}},
        "methods": {
            "alone": {"args": ["unimodal_$student.yaml"]},
            "fdkd": {"args": ["distill_$student.yaml"], "controls": ["free"]},
            "free": {"args": ["distill_$student.yaml", "no_teacher.yaml"]},
        },
        "baseline": "alone",
        "seeds": [0],
    }


def write_home(folder: Path, **changes: Any) -> None:
    """The user's module, all configurations and ``study.yaml``."""
    shutil.copy(TINY, folder)
    for name, content in configurations().items():
        (folder / name).write_text(yaml.safe_dump(content))
    (folder / "study.yaml").write_text(yaml.safe_dump(settings() | changes, sort_keys=False))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with everything that a study needs."""
    write_home(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def make_study(home: Path) -> Callable[..., Study]:
    """The study of that directory with other settings."""

    def make(**changes: Any) -> Study:
        (home / "study.yaml").write_text(yaml.safe_dump(settings() | changes, sort_keys=False))
        return read_study("study.yaml")

    return make


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``out`` of that study, all run; a test takes a copy."""
    folder = tmp_path_factory.mktemp("finished")
    write_home(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setattr(sys, "argv", ["fdkd"])
        run_study(read_study("study.yaml"))
    return folder / "out"


@pytest.fixture
def pretend() -> Callable[..., None]:
    """Write what all runs of a study found, without running them."""

    def write(
        study: Study, result: Callable[[Run], Result], runs: Sequence[Run] | None = None
    ) -> None:
        methods = method_runs(study) if runs is None else runs
        for run in (*teacher_runs(study).values(), *methods):
            own = study.folder / "runs" / run.name
            own.mkdir(parents=True, exist_ok=True)
            (own / "result.json").write_text(json.dumps(asdict(result(run))))

    return write


@pytest.fixture(autouse=True)
def _own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """LightningCLI would warn of those of pytest."""
    monkeypatch.setattr(sys, "argv", ["fdkd"])
