"""What a browser makes of the pages: skipped where there is none."""

from pathlib import Path
from typing import Any

import pytest
from browser import BROWSER, look_at, run
from made_up import ALONE, plus, study

from fdkd_lightning.report.differences import difference_rows
from fdkd_lightning.report.study_page import study_page

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium, chromium-browser or google-chrome on the PATH"
)
WIDTHS = (360, 1280)
EVIL = (
    "<script>injected = 1</script>",
    '"><img src=x onerror="injected = 1">',
    "'-injected=1-' Größe & 数",
)


def a_page() -> str:
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def looks(folder: Path) -> list[Any]:
    return look_at({"study.html": a_page()}, folder, WIDTHS)


def sorted_like_a_person(cells: list[str], order: str) -> list[str]:
    """Numbers by size, words by alphabet; what has no value is last."""
    known = [cell for cell in cells if cell]
    try:
        known.sort(key=float, reverse=order == "descending")
    except ValueError:
        known.sort(key=str.casefold, reverse=order == "descending")
    return known + [""] * cells.count("")


def test_the_pages_load_nothing_and_run_no_name_of_theirs(looks: list[Any]) -> None:
    assert sorted(look["width"] for look in looks) == [*WIDTHS]
    for look in looks:
        assert look["resources"] == look["violations"] == look["problems"] == []
        assert look["injected"] is None
        assert look["page"] == f"Study: {EVIL[0]}"
        assert {*EVIL[:2]} <= {*look["headers"]}


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
            assert table["columns"][0][1]["rows"] == table["start"]


def test_the_page_prints_as_pdf(folder: Path, looks: list[Any]) -> None:
    target = folder / "study.pdf"
    run(folder, f"--print-to-pdf={target}", folder / "study.html")
    content = target.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") >= 2
