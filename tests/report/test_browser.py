"""What a browser makes of the pages: skipped where there is none."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import BROWSER, look_at, run
from made_up import ALONE, plus, study
from made_up_run import write_predictions, write_run
from made_up_sweep import RESULTS, TRIALS

from fdkd_lightning.report.differences import difference_rows
from fdkd_lightning.report.run_page import write_run_page
from fdkd_lightning.report.study_page import study_page, write_study_page
from fdkd_lightning.report.sweep_heat_map import heat_maps
from fdkd_lightning.report.sweep_page import sweep_page
from fdkd_lightning.study.results import read_results

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium, chromium-browser or google-chrome on the PATH"
)
WIDTHS = (360, 1280)
EVIL = (
    "<script>injected = 1</script>",
    '"><img src=x onerror="injected = 1">',
    "'-injected=1-' Größe & 数",
)


PUBLISHED = Path(__file__).parents[2] / "examples/results"


def a_study() -> str:
    """A study whose names are markup."""
    script, image, quotes = EVIL
    column = {"alone": ALONE, script: plus(ALONE, 0.2), image: ALONE}
    settings, rows = study(
        {(quotes, "full"): column, ("v2a", image): column},
        controls={script: ["alone", image]},
        configs={image: {quotes: script}},
        **{"versions": {script: image}, "commits": [image], "failures": {"run": script}},
    )
    for row in rows:
        row.seconds = 1.0 + row.seed
    return study_page(f"Study: {script}", settings, rows, difference_rows(settings, rows))


def a_run(folder: Path) -> str:
    """A run of thirty classes, some of whose names are markup."""
    names = [*EVIL, *(f"a class with the number {k}" for k in range(3, 30))]
    samples = [(k, [float(j in (k, 0)) / (1 + (k > 0)) for j in range(30)]) for k in range(30)]
    write_predictions(write_run(folder, commit=EVIL[0], device=EVIL[1]), samples, names)
    return write_run_page(folder)[0].read_text()


def a_sweep() -> str:
    """A sweep whose names are markup."""
    script, image, quotes = EVIL
    values = [{script: k % 2, image: k // 2, "rate": 0.1 * k, quotes: image} for k in range(3)]
    trials = [replace(t, run=script, parameters=x) for t, x in zip(TRIALS, values, strict=True)]
    trials[2] = replace(trials[2], run=image)
    results = replace(RESULTS, name=script, trials=trials, importance={script: 0.7, image: 0.3})
    return sweep_page(results, heat_maps(results))


def many_runs(folder: Path) -> str:
    """The published study of 510 runs."""
    folder.mkdir()
    for name in ("results.csv", "results.json"):
        shutil.copy(PUBLISHED / "digits" / name, folder)
    write_study_page(folder, *read_results(folder))
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def looks(folder: Path) -> list[Any]:
    pages = {"study.html": a_study(), "run.html": a_run(folder / "run"), "sweep.html": a_sweep()}
    return look_at(pages | {"many.html": many_runs(folder / "many")}, folder, WIDTHS)


def sorted_like_a_person(cells: list[str], order: str) -> list[str]:
    """Numbers by size, words by alphabet; what has no value is last."""
    known = [cell for cell in cells if cell]
    try:
        known.sort(key=float, reverse=order == "descending")
    except ValueError:
        known.sort(key=str.casefold, reverse=order == "descending")
    return known + [""] * cells.count("")


def test_the_pages_load_nothing_and_run_no_name_of_theirs(looks: list[Any]) -> None:
    titles = {f"Study: {EVIL[0]}", "Run: run", f"Sweep: {EVIL[0]}", "Study: many"}
    assert {(x["page"], x["width"]) for x in looks} == {(t, w) for t in titles for w in WIDTHS}
    for look in looks:
        assert look["resources"] == look["violations"] == look["problems"] == []
        assert look["injected"] is None
        if look["page"] != "Study: many":
            assert {*EVIL[:2]} <= {*look["headers"]}


def test_five_hundred_runs_open_soon(looks: list[Any]) -> None:
    assert max(look["loaded"] for look in looks if look["page"] == "Study: many") < 2000


def test_no_page_is_wider_than_the_screen(looks: list[Any]) -> None:
    for look in looks:
        assert look["needed"] <= look["width"], look["page"]


def test_each_header_sorts_the_rows_by_its_column(looks: list[Any]) -> None:
    for look in looks:
        assert look["tables"]
        for table in look["tables"]:
            for number, clicks in enumerate(table["columns"]):
                for click, order in zip(clicks, ("descending", "ascending"), strict=True):
                    assert click["order"] == order
                    assert sorted(click["rows"]) == sorted(table["start"])
                    cells = [row[number] for row in click["rows"]]
                    if not any(letter in "".join(cells) for letter in "<>"):
                        assert cells == sorted_like_a_person(cells, order)


def test_a_page_prints_as_pdf(folder: Path, looks: list[Any]) -> None:
    target = folder / "run.pdf"
    run(folder, f"--print-to-pdf={target}", folder / "run.html")
    content = target.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") >= 2
