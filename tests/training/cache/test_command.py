import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fdkd_lightning.cli import main
from fdkd_lightning.files.checkpoint_file import load_checkpoint
from fdkd_lightning.training.cache.cache_store import CacheStore

RECORDINGS = Path(__file__).parents[1] / "recordings.py"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the configuration of a distillation and its teacher's checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    from recordings import Teacher

    torch.save(Teacher().state_dict(), "teacher.pt")
    net = {"class_path": "recordings.Teacher", "init_args": {"seed": 3}}
    teacher = {
        "class_path": "fdkd_lightning.PretrainedModel",
        "init_args": {"model": {"class_path": "recordings.Teacher"}, "checkpoint": "teacher.pt"},
    }
    config: dict[str, Any] = {
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": False,
        },
        "model": {
            "class_path": "fdkd_lightning.DistillationModule",
            "init_args": {
                "student_modality": "visual",
                "student": net,
                "teachers": {"audio": teacher},
                "criterion": {"class_path": "fdkd_lightning.KDLoss"},
            },
        },
        "data": {"class_path": "recordings.Pairs"},
    }
    Path("run.yaml").write_text(yaml.safe_dump(config))
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def student(folder: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(f"{folder}/checkpoints/last.ckpt", "last")[
        "state_dict"
    ]
    return found


def test_cache_then_fit_from_what_it_printed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["cache", "--config=run.yaml", "--folder=c", "--verify=true"])
    printed = capsys.readouterr().out
    assert "files of c/audio-" in printed
    assert "audio: 28 rows" in printed
    entry = yaml.safe_load(printed.partition("    teachers:\n")[2])
    (home / "cached.yaml").write_text(
        yaml.safe_dump(
            {
                "model": {"init_args": {"teachers": entry}},
                "data": {"class_path": "recordings.Pairs", "init_args": {"modalities": ["visual"]}},
            }
        )
    )
    (home / "teacher.pt").rename(home / "elsewhere.pt")
    main(["fit", "--config=run.yaml", "--config=cached.yaml", "--trainer.default_root_dir=a"])
    (home / "elsewhere.pt").rename(home / "teacher.pt")
    argument = "--model.teacher_cache=c"
    main(["fit", "--config=run.yaml", "--trainer.default_root_dir=d", argument])
    assert len([*Path("c").iterdir()]) == 1
    one, other = student("a"), student("d")
    assert all(torch.equal(x, other[name]) for name, x in one.items())


def test_settings_are_the_configuration_s_or_the_command_s(home: Path) -> None:
    settings = "{class_path: fdkd_lightning.TeacherCache, init_args: {folder: c, maps: true}}"
    main(["cache", "--config=run.yaml", f"--model.teacher_cache={settings}", "--dtype=float16"])
    [folder] = Path("c").iterdir()
    tensors = CacheStore(folder).manifest.tensors
    assert {spec.stored for spec in tensors.values()} == {"float16"}
    assert "map.1" in tensors


def test_a_module_without_teachers_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["cache", "--config=run.yaml", "--model.teachers={}"])
    assert "DistillationModule has no teachers" in capsys.readouterr().err
