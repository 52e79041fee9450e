import json
from pathlib import Path

import pytest

from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.study_scores import read_scores


@pytest.fixture
def study(tmp_path: Path) -> Path:
    rows = [("KD", 0, 0.5), ("KD", 1, 0.75), ("w/o KD", 0, 0.25)]
    header = "method,direction,regime,seed,tuned,chosen,val_last,test_last,test_best\n"
    lines = [f"{m},audio to visual,few labels,{s},,True,0.1,{v},0.9\n" for m, s, v in rows]
    (tmp_path / "results.csv").write_text(header + "".join(lines))
    settings = {"metric": "accuracy", "epoch": "last"}
    (tmp_path / "results.json").write_text(json.dumps({"study": settings, "warnings": []}))
    return tmp_path


def test_the_runs_of_the_same_method_count(study: Path) -> None:
    found = read_scores(study, "KD-audio_to_visual-few_labels-seed1-0123abcd")
    assert (found.method, found.direction, found.regime) == ("KD", "audio to visual", "few labels")
    assert (found.metric, found.epoch) == ("accuracy", "last")
    assert found.values == {0: 0.5, 1: 0.75}


def test_a_run_of_another_study_is_an_error(study: Path) -> None:
    with pytest.raises(ExportError, match=rf"study='{study}' has no run 'run'.*{study}/runs"):
        read_scores(study, "run")
    with pytest.raises(FileNotFoundError, match="give the folder of a finished study"):
        read_scores(study / "nowhere", "run")
