import csv
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from made_up_sweep import NAMES, RESULTS, TRIALS
from page_reader import Page

from fdkd_lightning.report.csv_table import write_table
from fdkd_lightning.report.sweep_heat_map import CELLS, cell_rows, heat_maps
from fdkd_lightning.report.sweep_page import sweep_page
from fdkd_lightning.report.sweep_text import sweep_sentences
from fdkd_lightning.study.sweep.parameter import Parameter
from fdkd_lightning.study.sweep.sweep_results import SweepResults, Trial, write_results


def made(results: SweepResults) -> Page:
    return Page(sweep_page(results, heat_maps(results)))


def test_tables_and_best_are_those_of_the_files(tmp_path: Path) -> None:
    parameters = [Parameter((name,), "categorical", {}) for name in NAMES]
    write_results(RESULTS, parameters, tmp_path)
    shown = made(RESULTS)
    trials, importance = shown.find("table", class_="sortable")
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(rows, shown.find("tr", trials)[1:], strict=True):
        cells = [x for x in shown.elements if line in x.parents and x.tag in ("th", "td")]
        assert [cell.text for cell in cells] == [
            row["run"],
            row["state"],
            *(f"{float(row[name]):.4f}" for name in ("last", "best")),
            *(row[name] for name in ("best_validation", "validations", "seconds", *NAMES)),
        ]
        assert float(cells[2].attributes["data-sort"]) == float(row["last"])
    best = yaml.safe_load("".join(shown.find("pre", class_="best")[0].pieces))
    assert best == yaml.safe_load((tmp_path / "best.yaml").read_text())
    shares = [line.attributes["width"] for line in shown.find("rect", importance)]
    assert shares == ["80.0%", "20.0%"]
    sentences = [x.text for x in shown.find("li", shown.find("ul", class_="answer")[0])]
    assert sentences == sweep_sentences(RESULTS)
    finished = [row for row in rows if row["state"] == "finished"]
    first = max(finished, key=lambda row: float(row["last"]))
    assert sentences[0].startswith(f"{len(finished)} of {len(rows)} trials finished; compared by")
    chosen = ", ".join(f"{name}={first[name]}" for name in NAMES)
    assert sentences[1].startswith(
        f"Best: {float(first['last']):.4f}, run {first['run']}, {chosen}. It is the best of "
        f"{len(finished)} on"
    )


def test_the_heat_map_is_that_of_its_table(tmp_path: Path) -> None:
    maps = heat_maps(RESULTS)
    write_table(tmp_path / "heatmap.csv", CELLS, cell_rows(maps))
    shown = made(RESULTS)
    [table] = shown.find("table", class_="matrix")
    columns = [x.text for x in shown.find("th", table, scope="col")][1:]
    found = {}
    for line in shown.find("tr", table)[1:]:
        [y] = shown.find("th", line)
        for x, cell in zip(columns, shown.find("td", line), strict=True):
            found[x, y.text] = (cell.text, cell.attributes.get("class"))
    with (tmp_path / "heatmap.csv").open(newline="") as file:
        rows = {
            (row["x_value"], row["y_value"]): float(row["mean"]) for row in csv.DictReader(file)
        }
    least, most = min(rows.values()), max(rows.values())
    for place, (text, shade) in found.items():
        if place in rows:
            assert text == f"{rows[place]:.4f}"
            assert shade == f"s{round(9 * (rows[place] - least) / (most - least))}"
        else:
            assert (text, shade) == ("-", None)
    assert rows.keys() <= found.keys()


@pytest.mark.parametrize("name", ["<script>x</script>", '"><img src=x onerror=a()>'])
def test_no_name_is_taken_for_markup(name: str) -> None:
    trials = [replace(t, run=name, parameters={name: i, "b": -i}) for i, t in enumerate(TRIALS)]
    failed = Trial(name, "failed", error=name)
    results = replace(
        RESULTS, name=name, metric=name, trials=[*trials, failed], importance={name: 1}
    )
    shown = made(results)
    assert len(shown.find("script")) == 1
    assert not shown.find("img")
    assert not any(x.startswith("on") for y in shown.elements for x in y.attributes)
    assert shown.find("h1")[0].text == f"Sweep: {name}"
    assert f"Failed: {name}: {name}" in [item.text for item in shown.find("li")]


def test_a_sweep_of_which_nothing_has_finished() -> None:
    shown = made(replace(RESULTS, trials=[Trial("a", "waiting")], importance={}))
    text = shown.find("main")[0].text
    assert "No trial has finished: start fdkd sweep again." in text
    assert "None: fewer than two parameters vary" in text
    assert "importance of the parameters: it takes 4 finished trials" in text
    assert not shown.find("pre")
