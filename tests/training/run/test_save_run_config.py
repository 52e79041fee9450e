from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fdkd_lightning.training.run.save_run_config import SaveRunConfig


class Parser:
    def dump(self, config: Any, format: str, skip_unset: bool, skip_validation: bool) -> str:
        assert not skip_unset
        return '{"seed": 3}' if format == "json" else "seed: 3\n"


def setup(root: Path, log_dir: Path | None, stage: str, loggers: Any = ()) -> SaveRunConfig:
    saving = SaveRunConfig(Parser(), None, overwrite=True)  # type: ignore[arg-type]  # what it needs
    trainer: Any = SimpleNamespace(
        log_dir=log_dir,
        default_root_dir=root,
        is_global_zero=True,
        loggers=loggers,
        strategy=SimpleNamespace(broadcast=lambda x: x),
    )
    saving.setup(trainer, None, stage)  # type: ignore[arg-type]
    return saving


@pytest.mark.parametrize(("stage", "separate"), [("fit", False), ("fit", True), ("test", True)])
def test_it_is_saved_in_the_log_folder(tmp_path: Path, stage: str, separate: bool) -> None:
    folder = tmp_path / "logs" if separate else tmp_path
    setup(tmp_path, folder, stage)
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert (folder / "config.yaml").read_text() == "seed: 3\n"


def test_an_evaluation_does_not_replace_that_of_fit(tmp_path: Path) -> None:
    setup(tmp_path, tmp_path, "test")
    setup(tmp_path, None, "fit")
    assert list(tmp_path.iterdir()) == []


def test_other_loggers_get_it_as_hyper_parameters(tmp_path: Path) -> None:
    logged: list[Any] = []
    setup(tmp_path, None, "fit", [SimpleNamespace(log_hyperparams=logged.append)])
    assert logged == [{"seed": 3}]
