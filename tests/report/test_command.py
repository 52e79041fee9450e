from pathlib import Path

import pytest
from made_up_run import write_run

from fdkd_lightning.cli import main
from fdkd_lightning.study.sweep.sweep_results import SweepResults, Trial, write_results

PUBLISHED = Path(__file__).parents[2] / "examples/results"


def failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as error:
        main(["report", str(folder)])
    assert error.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def test_a_study_a_sweep_and_a_run_have_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("results.csv", "results.json"):
        (tmp_path / name).write_bytes((PUBLISHED / "judge" / name).read_bytes())
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    write_results(
        SweepResults("rates", "grid", "val/loss", False, [Trial("a", "waiting")]), [], sweep
    )
    titles = {
        tmp_path: f"Study: {tmp_path.name}",
        sweep: "Sweep: rates",
        write_run(tmp_path / "run"): "Run: run",
    }
    for folder, title in titles.items():
        main(["report", str(folder)])
        assert f"<title>{title}</title>" in (folder / "report.html").read_text()
        assert capsys.readouterr().out


def test_a_folder_without_results_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert failure(missing, capsys) == (
        f"fdkd report: there is no folder {missing}: give that of a study, a sweep, a benchmark or "
        "a run"
    )
    assert not missing.exists()
    assert failure(tmp_path, capsys) == (
        f"fdkd report: {tmp_path} holds no results.csv (study), sweep.json (sweep), benchmark.json "
        "(benchmark), run.json or logs (run): give the folder of one of them"
    )
    assert not any(tmp_path.iterdir())
    write_run(tmp_path / "mine")
    assert failure(tmp_path, capsys).endswith(f", such as {tmp_path / 'mine'}")


def test_half_a_study_and_half_a_sweep_are_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    write_run(tmp_path / "runs/KD-seed0-12345678")
    assert "a study that has not ended (no results.csv): start fdkd study again" in (
        failure(tmp_path, capsys)
    )
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "sweep.db").touch()
    assert "holds a sweep that has not ended (no sweep.json)" in failure(sweep, capsys)
