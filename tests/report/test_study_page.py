import csv
import json
import re
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import pytest
import yaml
from made_up import ALONE, plus, study
from page_reader import Element, Page
from scipy import stats

from fdkd_lightning.report.differences import difference_rows
from fdkd_lightning.report.study_page import study_page, write_study_page
from fdkd_lightning.study.plan import read_study
from fdkd_lightning.study.results import LOCAL, read_results

PUBLISHED = Path(__file__).parents[2] / "examples/results"
EVIL = (
    '<script>alert("1")</script>',
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "Größe & 数",
)


def written(folder: Path, name: str) -> Path:
    """A folder with a published study's results and the page made of them."""
    for file in ("results.csv", "results.json"):
        (folder / file).write_bytes((PUBLISHED / name / file).read_bytes())
    write_study_page(folder, *read_results(folder))
    return folder


@pytest.fixture(scope="module", params=["rooms", "judge"])
def published(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return written(tmp_path_factory.mktemp(request.param), request.param)


def made(settings: dict[str, Any], rows: Any) -> Page:
    """The page of a made-up study."""
    text = study_page("Study: made up", settings, rows, difference_rows(settings, rows))
    assert not re.search(r"\bnan\b", re.sub(r"(?s)<script>.*</script>", "", text))
    return Page(text)


def a_study(**changes: Any) -> tuple[dict[str, Any], list[Any]]:
    column = {"alone": ALONE, "fdkd": plus(ALONE, 0.2), "free": plus(ALONE, 0.1)}
    given = {"versions": {"torch": "2"}, "commits": ["abc"], "configs": {}, "failures": {}}
    settings, rows = study({("a2v", "full"): column}, **(given | changes))
    return settings, rows


def scores_of(folder: Path) -> dict[tuple[str, ...], dict[int, float]]:
    """(Regime, direction, method) -> seed -> test score of the last epoch in percent."""
    found: dict[tuple[str, ...], dict[int, float]] = {}
    with (folder / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = (row["regime"], row["direction"], row["method"])
            if row["chosen"] == "True":
                found.setdefault(key, {})[int(row["seed"])] = 100 * float(row["test_last"])
    return found


def lines_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "differences.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def in_words(line: Mapping[str, str]) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(float(line[k]) for k in ("mean", "low", "high")))


def test_the_differences_are_those_of_the_results(published: Path) -> None:
    found, lines = scores_of(published), lines_of(published)
    settings = json.loads((published / "results.json").read_text())["study"]
    for line in lines:
        column = (line["regime"], line["direction"])
        ours, others = found[*column, line["method"]], found[*column, line["other"]]
        test = stats.ttest_rel([ours[s] for s in ours], [others[s] for s in ours])
        interval = test.confidence_interval(0.95)
        assert float(line["mean"]) == pytest.approx(mean(ours[s] - others[s] for s in ours))
        assert [float(line["low"]), float(line["high"])] == pytest.approx([*interval], abs=1e-9)
        assert int(line["n"]) == len(ours)
    expected = sum(
        len({settings["baseline"], *entry["controls"], *entry.get("references", [])} - {name})
        for name, entry in settings["methods"].items()
    )
    assert len(lines) == expected * len(settings["regimes"]) * len(settings["directions"])


def test_the_figure_draws_and_names_the_differences_beside_it(published: Path) -> None:
    shown, lines = Page((published / "report.html").read_text()), lines_of(published)
    items = [
        item for strips in shown.find("ol", class_="strips") for item in shown.find("li", strips)
    ]
    ticks = shown.find("text", shown.find("div", class_="axis")[0])
    ends = float(ticks[0].text), float(ticks[-1].text)
    drawn = {
        tick.text for axis in shown.find("div", class_="axis") for tick in shown.find("text", axis)
    }
    assert drawn == {tick.text for tick in ticks}, "figures have several axes"
    for item, line in zip(items, lines, strict=True):
        assert item.text == (
            f"{line['method']} − {line['other']} ({line['role']}): {in_words(line)}"  # noqa: RUF001
        )
        interval = shown.find("line", item, class_="interval")[0].attributes
        zero = shown.find("line", item, class_="zero")[0].attributes
        places = [interval["x1"], interval["x2"], zero["x1"]]
        # The last of the nested images holds the mark of the mean.
        places.append(shown.find("svg", item)[-1].attributes["x"])
        values = [ends[0] + float(x.rstrip("%")) / 100 * (ends[1] - ends[0]) for x in places]
        expected = [float(line["low"]), float(line["high"]), 0.0, float(line["mean"])]
        assert values == pytest.approx(expected, abs=1e-4 * (ends[1] - ends[0]))
    for role, shape in (("baseline", "circle"), ("control", "rect")):
        for item, line in zip(items, lines, strict=True):
            assert bool(shown.find(shape, item)) == (line["role"] == role)


def cells(shown: Page, table: Element) -> list[list[Element]]:
    return [
        [x for x in shown.elements if x.tag in ("td", "th") and row in x.parents]
        for row in shown.find("tr", shown.find("tbody", table)[0])
    ]


def test_the_tables_hold_the_results_and_sort_by_them(published: Path) -> None:
    shown, found = Page((published / "report.html").read_text()), scores_of(published)
    differences = lines_of(published)
    settings = json.loads((published / "results.json").read_text())["study"]
    columns = [(r, d) for r in settings["regimes"] for d in settings["directions"]]
    *tables, teachers = shown.find("table", class_="sortable")
    for column, table in zip(columns, tables, strict=True):
        for number, row in enumerate(cells(shown, table), 1):
            position, name, score, gain, controls, rivals, _ = row
            values = [*found[*column, name.text].values()]
            assert position.text == str(number)
            assert score.text == f"{mean(values):.1f} ± {stdev(values):.1f}"
            assert float(score.attributes["data-sort"]) == pytest.approx(mean(values), abs=1e-6)
            for cell, role in ((gain, "baseline"), (controls, "control"), (rivals, "rival")):
                expected = [
                    line
                    for line in differences
                    if (line["regime"], line["direction"], line["method"], line["role"])
                    == (*column, name.text, role)
                ]
                words = [
                    in_words(x) + ("" if role == "baseline" else f" ({x['other']})")
                    for x in expected
                ]
                assert [item.text for item in shown.find("li", cell)] == (words or ["-"])
                if expected:
                    order = float(cell.attributes["data-sort"])
                    assert order == pytest.approx(float(expected[0]["mean"]), abs=1e-6)
        assert [row[1].text for row in cells(shown, table)] == [*settings["methods"]]
    for modality, regime, score in cells(shown, teachers):
        runs = csv.DictReader((published / "results.csv").open(newline=""))
        values = [
            100 * float(run["test_best"])
            for run in runs
            if (run["method"], run["direction"], run["regime"])
            == ("teacher", modality.text, regime.text)
        ]
        assert score.text == f"{mean(values):.1f} ± {stdev(values):.1f}"


def test_the_answer_counts_what_the_intervals_show(published: Path) -> None:
    shown, lines = Page((published / "report.html").read_text()), lines_of(published)
    settings = json.loads((published / "results.json").read_text())["study"]
    for answer in shown.find("ul", class_="answer"):
        for item in shown.find("li", answer):
            direction = item.text.split(":")[0]
            gains = [
                line
                for line in lines
                if (line["direction"], line["role"]) == (direction, "baseline")
            ]
            above = [line for line in gains if float(line["low"]) > 0]
            below = [line for line in gains if float(line["high"]) < 0]
            assert item.text.startswith(
                f"{direction}: Of {len(settings['methods']) - 1} other rows {len(above)} are "
                f"significantly higher than {settings['baseline']}"
            )
            assert item.text.endswith(f", {len(below)} significantly lower.")


def sign(line: Mapping[str, str]) -> int:
    return (float(line["low"]) > 0) - (float(line["high"]) < 0)


def of_method(lines: list[dict[str, str]], *key: str) -> list[dict[str, str]]:
    """The lines of a direction, regime and method."""
    return [x for x in lines if (x["direction"], x["regime"], x["method"]) == key]


def words_of(settings: Mapping[str, Any], lines: list[dict[str, str]], method: str) -> str:
    """What a table's row says of a method, from the lines of its column."""
    baseline, controls = settings["baseline"], settings["methods"][method]["controls"]
    if method == baseline:
        return "the baseline"
    signs = {line["other"]: sign(line) for line in lines}
    gain = signs[baseline]
    if gain < 1:
        return (
            f"significantly lower than {baseline}"
            if gain
            else f"does not differ significantly from {baseline}"
        )
    text = f"significantly higher than {baseline}"
    if not controls:
        return f"{text}; it has no control, so the gain is not shown to be transfer"
    if controls == [baseline]:
        return f"{text}, its only control: whether the pairs matter is not tested"
    reached = [control for control in controls if signs[control] < 1]
    if not reached:
        return f"{text} and than every control: the gain is attributed to the teacher"
    return (
        f"{text}, but not than {' and '.join(reached)}, without help from the right teacher: the "
        "gain is not shown to be transfer"
    )


def test_each_sentence_is_that_of_the_differences(published: Path) -> None:
    shown, lines = Page((published / "report.html").read_text()), lines_of(published)
    settings = json.loads((published / "results.json").read_text())["study"]
    relations = {
        1: "is significantly higher than",
        -1: "is significantly lower than",
        0: "does not differ significantly from",
    }
    columns = [(d, r) for r in settings["regimes"] for d in settings["directions"]]
    [section] = [
        x for x in shown.find("section") if x.attributes["aria-labelledby"] == "comparisons"
    ]
    lists = shown.find("ul", section)
    tables = [
        x for x in shown.find("table", class_="sortable") if shown.find("td", x, class_="words")
    ]
    assert len(lists) == len(tables) == len(columns)
    for column, sentences, table in zip(columns, lists, tables, strict=True):
        texts = [item.text for item in shown.find("li", sentences)]
        words = [cell.text for cell in shown.find("td", table, class_="words")]
        others = [name for name in settings["methods"] if name != settings["baseline"]]
        for method, text in zip(others, texts, strict=False):
            parts = [
                f"{relations[sign(line)]} {line['other']} ({in_words(line)}, n = {line['n']})"
                for line in of_method(lines, *column, method)
            ]
            assert text.startswith(f"{method} {'; it '.join(parts)}.")
        for method, text in zip(settings["methods"], words, strict=True):
            assert text == words_of(settings, of_method(lines, *column, method), method)


def test_the_three_sentences_are_those_of_the_files(tmp_path: Path) -> None:
    folder = written(tmp_path, "watch")
    shown, lines, found = (
        Page((folder / "report.html").read_text()),
        lines_of(folder),
        scores_of(folder),
    )
    settings = json.loads((folder / "results.json").read_text())["study"]
    method, baseline = settings["question"], settings["baseline"]
    [regime], directions = settings["regimes"], settings["directions"]
    ours = {d: {x["other"]: x for x in of_method(lines, d, regime, method)} for d in directions}
    gain, control, rival = [x.text for x in shown.find("li", shown.find("ul", class_="answer")[0])]
    for d in directions:
        before, after = (mean(found[regime, d, name].values()) for name in (baseline, method))
        line = ours[d][baseline]
        assert f"{d}: from {before:.1f} to {after:.1f} % ({in_words(line)})" in gain
    controls = [
        (c, d) for c in settings["methods"][method]["controls"] if c != baseline for d in directions
    ]
    for name, d in controls:
        assert f"{name}, {d} {in_words(ours[d][name])}" in control
    above = sum(sign(ours[d][name]) > 0 for name, d in controls)
    assert f"significantly above in {above} of {len(controls)}, so " in control
    assert ("comes from the teacher" in control) == (above == len(controls))
    best = {
        d: max(
            settings["methods"][method]["references"],
            key=lambda r: mean(found[regime, d, r].values()),
        )
        for d in directions
    }
    for d, name in best.items():
        assert f"{name}, {d} {in_words(ours[d][name])}" in rival
    signs = [sign(ours[d][name]) for d, name in best.items()]
    assert (
        f"significantly above in {signs.count(1)} of {len(signs)}, below in {signs.count(-1)}"
        in rival
    )


def test_the_study_on_the_page_runs_again(published: Path, tmp_path: Path) -> None:
    shown = Page((published / "report.html").read_text())
    [text] = shown.find("pre", class_="study")
    (tmp_path / "study.yaml").write_text("".join(text.pieces))
    again = read_study(tmp_path / "study.yaml", ["--folder=runs/again"])
    settings = json.loads((published / "results.json").read_text())["study"]
    assert {name: getattr(again, name) for name in ("seeds", "baseline", "metric", "epoch")} == {
        name: settings[name] for name in ("seeds", "baseline", "metric", "epoch")
    }
    assert {name: method.args for name, method in again.methods.items()} == {
        name: method["args"] for name, method in settings["methods"].items()
    }
    assert not {*LOCAL} & {*yaml.safe_load("".join(text.pieces))}


def test_it_needs_no_network_and_is_read_aloud_in_order(published: Path) -> None:
    shown = Page((published / "report.html").read_text())
    for element in shown.elements:
        for name in ("src", "href", "action", "data"):
            assert element.attributes.get(name, "#").startswith(("#", "data:,")), element.attributes
        if element.tag == "th":
            assert element.attributes["scope"] in ("row", "col")
        if element.tag == "svg" and not any(parent.tag == "svg" for parent in element.parents):
            assert element.attributes.get("aria-hidden", "true") == "true" or "aria-label" in (
                element.attributes
            )
    [policy] = [x for x in shown.find("meta") if "http-equiv" in x.attributes]
    assert policy.attributes["content"].startswith("default-src 'none';")
    assert shown.find("html")[0].attributes["lang"] == "en"
    levels = [int(x.tag[1]) for x in shown.elements if re.fullmatch("h[1-6]", x.tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = [x.attributes["id"] for x in shown.elements if "id" in x.attributes]
    assert len({*ids}) == len(ids)
    named = {x.attributes.get("aria-labelledby") for x in shown.elements} - {None}
    linked = {x.attributes["href"][1:] for x in shown.find("a")}
    assert named | linked <= {*ids}


def test_no_name_is_taken_for_markup() -> None:
    evil, cross, template, words = EVIL
    column = {"alone": ALONE, evil: plus(ALONE, 0.2), template: ALONE}
    settings, rows = study(
        {(cross, words): column},
        controls={evil: ["alone", template]},
        versions={evil: cross},
        commits=[cross],
        configs={cross: {evil: cross}},
        failures={"run": evil},
        warnings=[cross],
        metric=evil,
        question=evil,
    )
    for row in rows:
        row.seconds = 1.0
    shown = made(settings, rows)
    assert len(shown.find("script")) == 1
    assert not shown.find("img")
    assert not any(name.startswith("on") for x in shown.elements for name in x.attributes)
    assert [x.text for x in shown.find("th", scope="row")][:3] == ["alone", evil, template]
    assert shown.find("h3")[0].text == f"{cross}, {words}"


def test_what_failed_or_lacks_a_result_is_named() -> None:
    settings, rows = a_study(failures={"x": "fdkd-seed0: it\nfailed"}, warnings=["weak teacher"])
    lost = [row for row in rows if row.method == "free" or (row.method, row.seed) == ("fdkd", 0)]
    shown = made(settings, [row for row in rows if row not in lost])
    found = [item.text for item in shown.find("li")]
    assert "Failed: fdkd-seed0: it failed" in found
    assert "Warning: weak teacher." in found
    assert "Without a result: fdkd, a2v, full, seeds 0." in found
    assert "Without a result: free, a2v, full, seeds 0, 1, 2, 3, 4." in found
    assert "Not in this folder: seconds.csv, the time of each run." in found
    scores = [cell.text for cell in shown.find("td", class_="score")]
    assert scores[1].endswith("(1 of 5 runs failed)")
    assert scores[2] == "failed"
    # It sorts last.
    assert shown.find("td", class_="score")[2].attributes["data-sort"] == ""
    assert "1 failed run, 2 methods with missing runs, 1 warning." in shown.find("main")[0].text
    (warned,) = [made(*a_study(warnings=["weak teacher"])).find("main")[0].text]
    assert "What limits the numbers: 1 warning." in warned
    assert "What limits the numbers" not in made(*a_study()).find("main")[0].text


def test_of_one_seed_no_comparison_is_made() -> None:
    settings, rows = study(
        {("a2v", "full"): {"alone": [0.5], "fdkd": [0.7], "free": [0.6]}},
        **{"versions": {}, "commits": [], "configs": {}, "failures": {}},
    )
    shown = made(settings, rows)
    text = shown.find("main")[0].text
    assert "One seed: no confidence interval, so no comparison is made." in text
    assert "2 cannot be compared." in text
    assert "The commit of the package is not known." in text
    assert not shown.find("line", class_="interval")


def test_a_question_is_answered_in_three_sentences() -> None:
    settings, rows = a_study(question="fdkd")
    settings["methods"]["fdkd"]["references"] = ["free"]
    shown = made(settings, rows)
    [answer] = shown.find("ul", class_="answer")
    gain, control, rival = [item.text for item in shown.find("li", answer)]
    assert gain.startswith("fdkd against alone, test accuracy, n = 5: a2v: from 50.0 to 70.0 %")
    assert "so a gain, where there is one, comes from the teacher" in control
    assert rival.startswith("Against the best other method, free, a2v +10.0")


def test_costs_are_the_medians_of_the_seconds() -> None:
    settings, rows = a_study()
    for row in rows:
        row.seconds = (1.0 + row.seed**2) * (2 if row.method == "fdkd" else 1)
    shown = made(settings, rows)
    expected = {
        name: median(row.seconds for row in rows if row.method == name)
        for name in settings["methods"]
    }
    [table] = shown.find("table", class_="sortable")
    assert {row[1].text: float(row[-2].text) for row in cells(shown, table)} == expected
    [figure] = shown.find("svg", role="img")
    ticks = [x.text for x in shown.find("text", figure) if x.text.endswith(" s")]
    last = float(ticks[-1].split()[0])
    for point in shown.find("svg", figure):
        [name] = shown.find("title", point)
        place = float(point.attributes["x"].rstrip("%"))
        assert place == pytest.approx(100 * expected[name.text] / last, abs=0.01)
        values = [row.values["test_last"] for row in rows if row.method == name.text]
        # From 50 to 70 %: the axis is 250 pixels high, its foot at 270.
        height = 270 - 250 * (100 * mean(values) - 50) / 20
        assert float(point.attributes["y"]) == pytest.approx(height, abs=0.03)


def test_five_hundred_runs_are_a_small_page_soon(tmp_path: Path) -> None:
    start = time.process_time()
    folder = written(tmp_path, "digits")
    assert time.process_time() - start < 2
    assert len((folder / "results.csv").read_text().splitlines()) > 500
    assert (folder / "report.html").stat().st_size < 5e6
    text = (folder / "report.html").read_text()
    assert "The runs were made at 8 commits of the package" in text
