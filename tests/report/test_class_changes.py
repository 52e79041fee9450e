import csv
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from made_up import study
from made_up_run import write_predictions
from page_reader import Page

from fdkd_lightning.report.class_changes import class_changes
from fdkd_lightning.report.study_page import write_study_page
from fdkd_lightning.study.planned_run import run_slug

NAMES = ("cat", "<b>dog")
# Seed -> rights of ten samples of each class.
ALONE = [(5, 8), (6, 7), (4, 9)]
FDKD = [(9, 5), (10, 3), (8, 6)]


def samples_of(rights: Sequence[int]) -> list[tuple[int, list[float]]]:
    found = []
    for label, right in enumerate(rights):
        for number in range(10):
            predicted = label if number < right else 1 - label
            found.append((label, [float(k == predicted) for k in range(2)]))
    return found


def made(folder: Path, **changes: Any) -> tuple[dict[str, Any], list[Any]]:
    """A study of three seeds whose runs hold predictions."""
    runs = {"alone": ALONE, "fdkd": FDKD}
    scores = {name: [sum(rights) / 20 for rights in seeds] for name, seeds in runs.items()}
    given = {"versions": {}, "commits": [], "configs": {}, "failures": {}}
    settings, rows = study({("a2v", "full"): scores}, **(given | changes))
    for name, seeds in runs.items():
        for seed, rights in enumerate(seeds):
            run = folder / "runs" / f"{run_slug(name, 'a2v', 'full', '', seed)}-0123abcd"
            run.mkdir(parents=True)
            write_predictions(run, samples_of(rights), NAMES)
    return settings, rows


def test_changes_are_paired_by_seed(tmp_path: Path) -> None:
    found = class_changes(tmp_path, *made(tmp_path))
    assert not found.left_out
    assert found.is_checked
    assert [x.label for x in found.changes] == [*NAMES]
    for k, change in enumerate(found.changes):
        assert (change.method, change.samples, change.n) == ("fdkd", 30, 3)
        differences = [10.0 * (b[k] - a[k]) for a, b in zip(ALONE, FDKD, strict=True)]
        assert change.mean == pytest.approx(mean(differences))
        # t(0.975, 2), from a table.
        half = 4.3027 * stdev(differences) / math.sqrt(3)
        assert change.low == pytest.approx(mean(differences) - half, abs=1e-3)
        assert change.high == pytest.approx(mean(differences) + half, abs=1e-3)
        assert change.before == pytest.approx(mean(10.0 * x[k] for x in ALONE))
        assert change.after == pytest.approx(mean(10.0 * x[k] for x in FDKD))


def test_the_page_shows_those_of_the_table(tmp_path: Path) -> None:
    write_study_page(tmp_path, *made(tmp_path))
    with (tmp_path / "class_changes.csv").open(newline="") as file:
        gained, lost = csv.DictReader(file)
    assert float(gained["low"]) > 0 > float(lost["high"])
    shown = Page((tmp_path / "report.html").read_text())
    table = shown.find("table", class_="sortable")[-1]
    method, n, more, less, neither = [
        x for x in shown.elements if table in x.parents and x.tag in ("th", "td")
    ][5:]
    assert (method.text, n.text, neither.text) == ("fdkd", "3", "0")
    for cell, row in ((more, gained), (less, lost)):
        interval = "{:+.1f} [{:+.1f}, {:+.1f}]".format(
            *(float(row[x]) for x in ("mean", "low", "high"))
        )
        assert cell.text == f"1{row['label']} {interval}"
        assert cell.attributes["data-sort"] == "1"


def test_predictions_of_other_weights_are_left_out(tmp_path: Path) -> None:
    settings, rows = made(tmp_path)
    run = tmp_path / "runs" / f"{run_slug('fdkd', 'a2v', 'full', '', 1)}-0123abcd"
    write_predictions(run, samples_of((1, 1)), NAMES)
    found = class_changes(tmp_path, settings, rows)
    assert {change.n for change in found.changes} == {2}
    assert found.left_out == {
        run.name: "its predictions have the accuracy 10.00 %, the results 65.00 %: they are of "
        "other weights or samples"
    }
    (run / "predictions.csv").write_text("index,label,class,a,b\n0,a\n")
    [reason] = class_changes(tmp_path, settings, rows).left_out.values()
    assert "predictions.csv, line 2: 2 cells for 5 columns" in reason
    # The run of another configuration, whose predictions fit.
    other = run.with_name(f"{run.name[:-8]}ffffffff")
    other.mkdir()
    write_predictions(other, samples_of(FDKD[1]), NAMES)
    found = class_changes(tmp_path, settings, rows)
    assert ({change.n for change in found.changes}, found.left_out) == ({3}, {})


def test_of_another_metric_the_weights_are_not_checked(tmp_path: Path) -> None:
    settings, rows = made(tmp_path, metric="macro_f1")
    assert not class_changes(tmp_path, settings, rows).is_checked
    write_study_page(tmp_path, settings, rows)
    text = Page((tmp_path / "report.html").read_text()).find("main")[0].text
    assert "Whether the predictions are those of the last epoch is not checked" in text


def test_without_predictions_the_page_names_the_command(tmp_path: Path) -> None:
    settings, rows = made(tmp_path / "elsewhere")
    write_study_page(tmp_path, settings, rows)
    assert not (tmp_path / "class_changes.csv").exists()
    commands = [x.text for x in Page((tmp_path / "report.html").read_text()).find("pre")]
    assert commands[0] == ("fdkd predict --config=RUN/logs/version_0/config.yaml --ckpt_path=last")


def test_of_one_seed_there_is_no_interval(tmp_path: Path) -> None:
    settings, rows = made(tmp_path)
    rows = [row for row in rows if row.seed == 0]
    settings["seeds"] = [0]
    found = class_changes(tmp_path, settings, rows)
    assert [change.sign for change in found.changes] == [0, 0]
    assert all(math.isnan(change.low) for change in found.changes)
    write_study_page(tmp_path, settings, rows)
    table = Page((tmp_path / "report.html").read_text()).find("table", class_="sortable")[-1]
    assert table.text.endswith("0 (2 with one seed: no interval)")
