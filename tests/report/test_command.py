from pathlib import Path

import pytest

from fdkd_lightning.cli import main
from fdkd_lightning.report.command import report

PUBLISHED = Path(__file__).parents[2] / "examples/results"


@pytest.fixture
def results(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a published study's results alone."""
    for name in ("results.csv", "results.json"):
        (tmp_path / name).write_bytes((PUBLISHED / request.param / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    "results", [path.parent.name for path in PUBLISHED.glob("*/table.md")], indirect=True
)
def test_the_report_is_written_from_the_results_alone(
    results: Path, request: pytest.FixtureRequest
) -> None:
    text = report(results)
    assert (results / "table.md").read_text() == text
    assert (results / "table.png").read_bytes().startswith(b"\x89PNG")
    name = request.node.callspec.params["results"]
    assert text == (PUBLISHED / name / "table.md").read_text(), (
        f"run: fdkd study --report examples/results/{name}"
    )


@pytest.mark.parametrize("results", ["judge"], indirect=True)
def test_the_command_prints_the_report(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", f"--report={results}"])
    assert capsys.readouterr().out == f"{(results / 'table.md').read_text()}\n"


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SystemExit) as error:
        main(["study", "--report", str(missing)])
    assert str(error.value) == (
        f"fdkd study: {missing / 'results.csv'} does not exist: give the folder of a finished study"
    )
    assert not missing.exists()
