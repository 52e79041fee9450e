from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger

from fdkd_lightning.study.study_cli import StudyCLI


@pytest.mark.usefixtures("home")
def test_other_loggers_stand_beside_the_csv_log() -> None:
    other = CSVLogger("elsewhere", "log", 0)
    arguments = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    cli = StudyCLI(["fit", "--config=unimodal_visual.yaml", *arguments], {}, [other])
    first, second = cli.trainer.loggers
    assert isinstance(first, CSVLogger)
    assert second is other
    other.save()
    assert "train/loss" in Path("elsewhere/log/version_0/metrics.csv").read_text()


@pytest.mark.usefixtures("home")
def test_a_teacher_that_the_study_does_not_train_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.teachers.audio .* which trains none"):
        StudyCLI(["fit", "--config=distill_visual.yaml"], {})
