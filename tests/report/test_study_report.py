import json
from pathlib import Path

import pytest

from fdkd_lightning.cli import main
from fdkd_lightning.report.study_report import report_study

PUBLISHED = Path(__file__).parents[2] / "examples/results"


@pytest.fixture
def results(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a published study's results alone."""
    for name in ("results.csv", "results.json"):
        (tmp_path / name).write_bytes((PUBLISHED / request.param / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    "results",
    [p.parent.name for p in PUBLISHED.glob("*/results.csv") if (p.parent / "table.md").exists()],
    indirect=True,
)
def test_the_report_is_written_from_the_results_alone(
    results: Path, request: pytest.FixtureRequest
) -> None:
    text = report_study(results)
    assert (results / "table.md").read_text() == text
    assert (results / "table.png").read_bytes().startswith(b"\x89PNG")
    assert (results / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (results / "differences.csv").exists()
    name = request.node.callspec.params["results"]
    assert text == (PUBLISHED / name / "table.md").read_text(), (
        f"run: fdkd report examples/results/{name}"
    )


@pytest.mark.parametrize("results", ["judge"], indirect=True)
def test_the_command_prints_the_report(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(results)])
    shown = f"{(results / 'table.md').read_text()}\nreport: {results / 'report.html'}\n"
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("results", ["judge"], indirect=True)
def test_a_question_without_controls_is_warned_of_wherever_it_is_answered(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((results / "results.json").read_text())
    content["study"]["question"] = "KD"
    content["study"]["methods"]["KD"]["controls"] = []
    (results / "results.json").write_text(json.dumps(content))
    main(["report", str(results)])
    warning = "Warning: KD names no controls, so a gain could not be called transfer: add controls:"
    page = (results / "report.html").read_text()
    for text in (capsys.readouterr().out, (results / "table.md").read_text(), page):
        assert warning in text
    assert "Is KD better than w/o KD?" in page
    assert "No warning" not in page


@pytest.mark.parametrize("results", ["digits"], indirect=True)
def test_failed_runs_are_named_and_the_others_reported(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((results / "results.json").read_text())
    content["failures"] = {"KD-seed0": "KD-seed0: it failed (see run.log)"}
    (results / "results.json").write_text(json.dumps(content))
    lines = (results / "results.csv").read_text().splitlines(keepends=True)
    lost = next(line for line in lines if line.startswith("KD,"))
    (results / "results.csv").write_text("".join(line for line in lines if line != lost))
    with pytest.raises(SystemExit) as error:
        main(["report", str(results)])
    assert error.value.code == 1
    shown = capsys.readouterr()
    assert "1 runs failed" in shown.err
    assert "KD-seed0: it failed" in shown.err
    assert "runs failed)" in shown.out
    assert "- KD-seed0: it failed (see run.log)" in (results / "table.md").read_text()
    assert "nan" not in shown.out
