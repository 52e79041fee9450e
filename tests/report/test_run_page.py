import csv
import json
from pathlib import Path
from typing import Any

import pytest
from made_up_run import (
    SAMPLES,
    checkpoint,
    log_rows,
    make_older,
    record,
    write_log,
    write_predictions,
    write_run,
)
from page_reader import Page

from fdkd_lightning.report.run_page import write_run_page

EVIL = ("<script>injected = 1</script>", '"><img src=x onerror="injected = 1">', "Größe & 数")


def page_of(folder: Path) -> Page:
    path, _ = write_run_page(folder)
    return Page(path.read_text())


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "report" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_curves_are_those_of_the_table(tmp_path: Path) -> None:
    shown = page_of(write_run(tmp_path))
    rows = table(tmp_path, "curves.csv")
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(row["name"], []).append((float(row["step"]), float(row["value"])))
    figures = {
        shown.find("strong", figure)[0].text: figure
        for figure in shown.find("figure")
        if figure.attributes["aria-labelledby"].startswith("panel")
    }
    assert [*figures] == ["loss", "low", "accuracy"]
    last_step = 40.0  # the end of the axis of steps up to 39
    for name, places in series.items():
        quantity = name.partition("/")[2]
        [label] = [
            x.attributes["aria-label"] for x in shown.find("svg", figures[quantity], role="img")
        ]
        low, high = (float(x) for x in label.split("from ")[1].split(";")[0].split(" to "))
        finite = [(x, y) for x, y in places if y == y]
        expected = [(100 * x / last_step, 100 * (high - y) / (high - low)) for x, y in finite]
        drawn = [
            tuple(map(float, pair.split(",")))
            for line in shown.find("polyline", figures[quantity])
            if ("thin" in line.attributes["class"]) == name.startswith("val/")
            for pair in line.attributes["points"].split()
        ]
        if name == "train/low":  # a gap, and a dot beyond it
            dot = expected.pop()
            [circle] = [c for c in shown.find("svg", figures[quantity]) if "x" in c.attributes][1:]
            assert float(circle.attributes["x"].rstrip("%")) == pytest.approx(dot[0], abs=0.01)
        assert drawn == [pytest.approx(pair, abs=0.01) for pair in expected]
        [dashed] = shown.find("line", figures[quantity], class_="zero")
        assert float(dashed.attributes["x1"].rstrip("%")) == 100 * 19 / last_step
    assert "teacher/visual/accuracy 0.5000" in shown.find("main")[0].text


def test_classes_and_bins_are_those_of_the_tables(tmp_path: Path) -> None:
    shown = page_of(write_run(tmp_path))
    [matrix] = shown.find("table", class_="matrix")
    names = [cell.text for cell in shown.find("th", matrix, scope="row")]
    counts = [
        [int(cell.text) for cell in shown.find("td", row)] for row in shown.find("tr", matrix)[1:]
    ]
    places = {"0 cat": "cat", "1 dog": "dog", "2 fish": "fish"}
    assert names == [*places]
    found = {
        (places[names[i]], [*places.values()][j]): count
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if count
    }
    assert found == {
        (row["label"], row["predicted"]): int(row["samples"])
        for row in table(tmp_path, "confusion.csv")
    }
    for row, cells in zip(
        table(tmp_path, "classes.csv"),
        shown.find("tr", shown.find("table", class_="sortable")[0])[1:],
        strict=True,
    ):
        texts = [x.text for x in shown.elements if cells in x.parents and x.tag in ("th", "td")]
        accuracy = "no sample"
        if int(row["samples"]):
            share = 100 * int(row["right"]) / int(row["samples"])
            assert float(row["accuracy"]) == share
            accuracy = f"{share:.1f} [{float(row['low']):.1f}, {float(row['high']):.1f}]"
        assert texts == [row["name"], accuracy, row["samples"], row["right"], row["predicted"]]
    points = [
        svg
        for svg in shown.find("svg")
        if any(title in shown.find("title", svg) for title in shown.find("title"))
        and svg.attributes.get("x")
    ]
    bins = table(tmp_path, "calibration.csv")
    assert len(points) == len(bins)
    for point, row in zip(points, bins, strict=True):
        assert shown.find("title", point)[0].text == f"{row['samples']} samples"
        assert float(point.attributes["x"].rstrip("%")) == 100 * float(row["confidence"])
        assert float(point.attributes["y"]) == 270 - 250 * float(row["accuracy"])
    [sentence] = shown.find("p", class_="calibration")
    error = sum(
        float(row["share"]) * abs(float(row["accuracy"]) - float(row["confidence"])) for row in bins
    )
    assert sentence.text.startswith(f"Expected calibration error {100 * error:.1f} points")


def test_the_sentences_on_classes_are_those_of_the_tables(tmp_path: Path) -> None:
    shown = page_of(write_run(tmp_path))
    rows, pairs = table(tmp_path, "classes.csv"), table(tmp_path, "confusion.csv")
    known = [row for row in rows if int(row["samples"])]
    right, n = (sum(int(row[name]) for row in rows) for name in ("right", "samples"))
    best, worst = (
        choose(known, key=lambda row: int(row["right"]) / int(row["samples"]))
        for choose in (max, min)
    )
    wrong = [pair for pair in pairs if pair["label"] != pair["predicted"]]
    most = max(wrong, key=lambda pair: int(pair["samples"]))
    of_class = {row["name"]: row["samples"] for row in rows}
    [items] = shown.find("ul", class_="classes")
    assert [item.text for item in shown.find("li", items)][:4] == [
        f"{right} of {n} labelled predictions are right ({100 * right / n:.1f} %).",
        f"Of the classes {best['name']} ({float(best['accuracy']):.1f} % of {best['samples']}) is "
        f"predicted best, {worst['name']} ({float(worst['accuracy']):.1f} % of {worst['samples']}) "
        "worst.",
        f"The most frequent confusion: {most['label']} taken for {most['predicted']} "
        f"({most['samples']} of {of_class[most['label']]}).",
        f"Classes without a labelled sample: {len(rows) - len(known)} of {len(rows)}.",
    ]


def test_how_to_run_it_again_is_on_the_page(tmp_path: Path) -> None:
    shown = page_of(write_run(tmp_path))
    commands = [pre.text for pre in shown.find("pre")]
    assert commands[0] == "fdkd fit --config=a.yaml --trainer.default_root_dir=runs/again"
    assert "class_path: fdkd_lightning.FDKDLoss" in commands[1]
    cells = [cell.text for cell in shown.elements if cell.tag in ("th", "td")]
    for row in (["train", "missing", "10"], ["teachers.visual", "t.ckpt", "abc"], ["torch", "2"]):
        assert row in [cells[i : i + len(row)] for i in range(len(cells))]
    assert not shown.find("ul", class_="missing")


@pytest.mark.parametrize(
    ("coverage", "cells"),
    [({"train": 90}, ["train", "", "90"]), ("all of it", ["", "", "all of it"])],
)
def test_any_coverage_is_shown(tmp_path: Path, coverage: Any, cells: list[str]) -> None:
    shown = page_of(write_run(tmp_path, coverage=coverage))
    [region] = shown.find("div", role="region", **{"aria-label": "Data coverage"})
    row = shown.find("tr", region)[-1]
    assert [x.text for x in shown.elements if row in x.parents and x.tag in ("th", "td")] == cells


def missing(page: Page) -> list[str]:
    [items] = page.find("ul", class_="missing")
    return [item.text for item in page.find("li", items)]


def test_what_is_missing_is_named_with_its_command(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record() | {"evaluations": []}))
    assert missing(page_of(tmp_path)) == [
        "learning curves: no metrics.csv of a training below logs/ (trainer.logger=false leaves "
        "it out)",
        "test scores: fdkd test --config=a.yaml",
        "confusion of classes and calibration: there is no predictions.csv: fdkd predict "
        "--config=a.yaml",
    ]


def test_a_bare_log_has_a_page(tmp_path: Path) -> None:
    write_log(tmp_path, 0, log_rows(validated=False))
    shown = page_of(tmp_path)
    assert "validation: the log has no value of it" in missing(shown)
    assert missing(shown)[0].startswith("run.json: versions, commit, data coverage")
    assert len(shown.find("polyline")) == 2
    assert "The configuration is in no file of the folder." in shown.find("main")[0].text


def test_an_unfinished_run_is_resumed(tmp_path: Path) -> None:
    fit = record(finished=None)["fit"]
    (tmp_path / "run.json").write_text(
        json.dumps({"version": 1, "fit": fit, "checkpoints": {}, "evaluations": []})
    )
    assert missing(page_of(tmp_path))[0] == (
        "the end of the training: fdkd fit --config=a.yaml --ckpt_path=last"
    )


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    write_predictions(write_run(tmp_path), names=("0", "1", "2"))
    shown = page_of(tmp_path)
    [matrix] = shown.find("table", class_="matrix")
    assert [cell.text for cell in shown.find("th", matrix)] == ["true class", *"012", *"012"]
    assert missing(shown) == [
        "names of the classes: give the data module class_names, and predict again"
    ]


def test_no_name_is_taken_for_markup(tmp_path: Path) -> None:
    write_predictions(write_run(tmp_path, commit=EVIL[0], device=EVIL[1]), names=EVIL)
    write_log(tmp_path, 1, [{"step": 3, EVIL[0]: 1.0, "train/loss": 1.0}, {"step": 4, EVIL[0]: 2}])
    shown = page_of(tmp_path)
    assert len(shown.find("script")) == 1
    assert not shown.find("img")
    assert not any(name.startswith("on") for x in shown.elements for name in x.attributes)
    rows = [cell.text for cell in shown.find("th", scope="row")]
    assert [*EVIL] == rows[3:6]
    with (tmp_path / "report/classes.csv").open(newline="", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [*EVIL]


def test_a_thousand_classes_are_a_small_page(tmp_path: Path) -> None:
    k = 1000
    names = [f"class {i}" for i in range(k)]
    samples = []
    for i in range(0, k, 5):
        shares = [0.0] * k
        shares[i if i % 2 else i + 1] = 1.0
        samples.append((i, shares))
    write_predictions(write_run(tmp_path), samples, names)
    shown = page_of(tmp_path)
    assert not shown.find("table", class_="matrix")
    tables = shown.find("table", class_="sortable")
    assert [len(shown.find("tr", x)) - 1 for x in tables] == [20, k]
    assert len(table(tmp_path, "confusion.csv")) == len(samples)
    assert shown.find("caption", tables[0])[0].text.startswith("20 of 100;")
    assert (tmp_path / "report.html").stat().st_size < 1e6


def test_what_is_no_longer_true_is_removed(tmp_path: Path) -> None:
    write_run_page(write_run(tmp_path))
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *("curves.csv", "classes.csv", "confusion.csv", "calibration.csv")
    }
    make_older(tmp_path / "predictions.csv")
    (tmp_path / "report/mine.csv").touch()
    shown = page_of(tmp_path)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"curves.csv", "mine.csv"}
    assert "predictions.csv is older than this training" in missing(shown)[0]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_predictions(write_run(tmp_path), [(0, [2.0, 0.0, 0.0]), *SAMPLES])
    with pytest.raises(ValueError, match=r"predictions.csv, line 2: a probability"):
        write_run_page(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json.* is damaged"):
        write_run_page(tmp_path)


def test_the_best_checkpoint_of_no_step_draws_no_line(tmp_path: Path) -> None:
    best = checkpoint("best", 1) | {"step": None, "validation": None}
    write_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(record() | {"checkpoints": {"best": best}}))
    shown = page_of(tmp_path)
    assert len(shown.find("line", class_="zero")) == 1  # of the reliability diagram
