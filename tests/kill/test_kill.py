"""Kill commands again and again: nothing that was finished is lost, and the result is the same.

FDKD_KILLS kills of each command; the short run of the suite kills ``fit`` alone.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from commands import EPOCHS, cache, export, fit, prepare, study
from killer import KILLS, STUDY, Killer

from fdkd_lightning.files.checkpoint_file import load_checkpoint

long_run = pytest.mark.skipif(KILLS < 10, reason="takes minutes: nox -s kill")


def write_config(home: Path) -> None:
    config = {
        "trainer": {"accelerator": "cpu", "max_epochs": EPOCHS, "enable_progress_bar": False},
        "model": {
            "class_path": "fdkd_lightning.UnimodalModule",
            "init_args": {
                "modality": "audio",
                "model": {"class_path": "heavy.Heavy"},
            },
        },
        "data": {"class_path": "tiny.Pairs"},
    }
    (home / "fit.yaml").write_text(yaml.safe_dump(config))


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(path, str(path))["state_dict"]
    return found


def assert_whole(folder: Path) -> None:
    for path in folder.rglob("*.ckpt"):
        load_checkpoint(path, str(path))
    for path in folder.rglob("run.json"):
        assert yaml.safe_load(path.read_text())["version"]


def test_fit(killer: Killer) -> None:
    write_config(killer.folder)
    killer.finish(fit, "whole")
    reached = -1
    for _ in range(KILLS):
        killer.kill(fit, "killed")
        killed = killer.folder / "killed"
        assert_whole(killed)
        last = killed / "checkpoints/last.ckpt"
        # No epoch that was saved is lost.
        epoch = load_checkpoint(last, "last")["epoch"] if last.exists() else -1
        assert epoch >= reached
        reached = epoch if epoch < EPOCHS - 1 else -1
        if epoch == EPOCHS - 1:
            last.unlink()  # it was done: from the beginning
    killer.finish(fit, "killed")
    for name in ("best", "last"):
        expected, found = (
            weights(killer.folder / root / f"checkpoints/{name}.ckpt")
            for root in ("whole", "killed")
        )
        assert all(torch.equal(x, found[key]) for key, x in expected.items())
    assert killer.partial_files() == []


@long_run
def test_prepare(killer: Killer) -> None:
    from scipy.io import wavfile

    (killer.folder / "sound").mkdir()
    for i in range(60):
        sound = np.random.default_rng(i).integers(-999, 999, 90_000).astype(np.int16)
        wavfile.write(killer.folder / "sound" / f"{i}.wav", 16_000, sound)
    killer.finish(prepare, "whole")
    expected = files(killer.folder / "whole")
    for _ in range(KILLS):
        killer.kill(prepare, "killed")
        found = files(killer.folder / "killed")
        assert all(expected[name] == content for name, content in found.items())
        if len(found) == len(expected):
            for path in (killer.folder / "killed").rglob("*.npy"):
                path.unlink()
    killer.finish(prepare, "killed")
    assert files(killer.folder / "killed") == expected
    assert killer.partial_files() == []


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if not path.name.startswith(".")
    }


@long_run
def test_cache(killer: Killer) -> None:
    recordings = Path(__file__).parents[1] / "training/recordings.py"
    (killer.folder / "recordings.py").write_text(recordings.read_text())
    teacher = {"class_path": "recordings.Teacher"}
    config = {
        "trainer": {"accelerator": "cpu"},
        "model": {
            "class_path": "fdkd_lightning.DistillationModule",
            "init_args": {
                "student_modality": "visual",
                "student": teacher,
                "teachers": {"audio": teacher},
                "criterion": {"class_path": "fdkd_lightning.KDLoss"},
            },
        },
        "data": {"class_path": "recordings.Pairs"},
    }
    (killer.folder / "cache.yaml").write_text(yaml.safe_dump(config))
    killer.finish(cache, "first")
    # The first call waits until the package is imported.
    killer.seconds = 0.0
    killer.finish(cache, "whole")
    expected = files(killer.folder / "whole")
    interrupted = 0
    for _ in range(KILLS):
        killer.kill(cache, "killed")
        found = files(killer.folder / "killed")
        assert all(expected[name] == content for name, content in found.items())
        interrupted += 0 < len(found) < len(expected)
        if len(found) == len(expected):
            for path in (killer.folder / "killed").rglob("*.*"):
                path.unlink()
    assert interrupted
    killer.finish(cache, "killed")
    assert files(killer.folder / "killed") == expected
    assert killer.partial_files() == []


def study_room() -> Any:
    """The module with the study of the tests."""
    spec = importlib.util.spec_from_file_location("study_conftest", STUDY / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    room = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(room)
    return room


@long_run
def test_study(killer: Killer) -> None:
    study_room().write_home(killer.folder)
    killer.finish(study, 1)
    results, runs = killer.folder / "out/results.csv", killer.folder / "out/runs"
    expected = results.read_bytes()
    results.parent.rename(killer.folder / "whole")
    cut_off: set[Path] = set()
    for number in range(KILLS):
        killer.kill(study, 1 + number % 2)
        assert_whole(killer.folder / "out")
        if results.exists():
            results.parent.rename(killer.folder / f"done{number}")
            cut_off.clear()
        begun = {path.parents[1] for path in runs.glob("*/checkpoints/last.ckpt")}
        cut_off |= {run for run in begun if not (run / "result.json").exists()}
    killer.finish(study, 1)
    assert results.read_bytes() == expected
    # What was cut off was continued, not begun again.
    assert all((run / "logs/version_1").is_dir() for run in cut_off)


@long_run
def test_export(killer: Killer) -> None:
    from safetensors.torch import load_file

    write_config(killer.folder)
    killer.finish(fit, "whole")
    killer.seconds = 0.0
    killer.finish(export, "exported")
    expected = files(killer.folder / "exported")
    for _ in range(KILLS):
        killer.kill(export, "exported")
        if not (killer.folder / "exported").exists():
            # Killed between two renames: the next call settles it.
            killer.finish(export, "exported")
        assert files(killer.folder / "exported").keys() == expected.keys()
        load_file(killer.folder / "exported/model.safetensors")
    killer.finish(export, "exported")
    assert files(killer.folder / "exported")["model.safetensors"] == expected["model.safetensors"]
    assert [*killer.folder.glob(".exported.*")] == []
