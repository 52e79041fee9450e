import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from fdkd_lightning.report.tables import report, table, words
from fdkd_lightning.study.cell import Result
from fdkd_lightning.study.results import Row, collect, read_results, write_results

SETTINGS = {
    "metric": "accuracy",
    "epoch": "last",
    "baseline": "alone",
    "regimes": {"full": {}},
    "directions": {"a2v": {}},
    "seeds": [0, 1, 2, 3, 4],
}
# t(0.975, 4), from a table.
T = 2.7764
ALONE = [0.50, 0.52, 0.48, 0.51, 0.49]
NOISE = [0.01, -0.01, 0.02, 0.0, -0.02]


def plus(scores: Sequence[float], gain: float) -> list[float]:
    """These with a gain that is not quite the same on every seed."""
    return [score + gain + 0.1 * noise for score, noise in zip(scores, NOISE, strict=True)]


def study(
    columns: Mapping[tuple[str, str], Mapping[str, Sequence[float]]],
    controls: Mapping[str, list[str]] | None = None,
    **changes: Any,
) -> tuple[dict[str, Any], list[Row]]:
    """The settings and rows of a study that found these scores; free controls fdkd."""
    methods = list(next(iter(columns.values())))
    controls = {m: ["free"] if m == "fdkd" and "free" in methods else [] for m in methods} | dict(
        controls or {}
    )
    settings = {
        **SETTINGS,
        "directions": dict.fromkeys(direction for direction, _ in columns),
        "regimes": dict.fromkeys(regime for _, regime in columns),
        "methods": {m: {"args": [], "controls": controls[m]} for m in methods},
        "warnings": [],
        "seeds": list(range(len(next(iter(columns.values()))[methods[0]]))),
    } | changes
    rows = [
        Row(method, direction, regime, seed, "", True, {"test_last": v, "test_best": v - 0.1})
        for (direction, regime), column in columns.items()
        for method, values in column.items()
        for seed, v in enumerate(values)
    ]
    return settings, rows


def said(column: Mapping[str, Sequence[float]], **changes: Any) -> dict[str, str]:
    """What is said of each method, and of the highest mean."""
    lines = [line[2:] for line in words(*study({("a2v", "full"): column}, **changes))]
    named = {name: line for line in lines for name in column if line.startswith(f"{name} is ")}
    (highest,) = [line for line in lines if line.startswith("Highest mean: ")]
    return named | {"highest": highest}


def by_hand(method: Sequence[float], reference: Sequence[float]) -> str:
    """Mean difference and interval in points, of five seeds."""
    differences = [100 * (a - b) for a, b in zip(method, reference, strict=True)]
    half = T * stdev(differences) / math.sqrt(5)
    d = mean(differences)
    return f"{d:+.1f} [{d - half:+.1f}, {d + half:+.1f}]"


# The table.


def test_the_numbers_of_the_table_worked_out_by_hand() -> None:
    # Sorted differences -1, 0, 1, 2, 3 points: mean 1, deviation sqrt 2.5, half an interval
    # 2.776 * sqrt(2.5 / 5) = 1.96.
    fdkd = [a + d / 100 for a, d in zip(ALONE, [3, -1, 0, 2, 1], strict=True)]
    lines = table(*study({("a2v", "full"): {"alone": ALONE, "fdkd": fdkd}}))
    assert "| method | accuracy | Δ alone | Δ controls and others |" in lines
    # 50 +- sqrt((0 + 4 + 4 + 1 + 1) / 4) = 1.6; 53, 51, 48, 53, 50: 51 +- sqrt(18 / 4) = 2.1.
    assert "| alone | 50.0 ± 1.6 | - | - |" in lines
    assert "| fdkd | 51.0 ± 2.1 | +1.0 [-1.0, +3.0] | - |" in lines


def test_every_method_is_compared_with_baseline_and_control_of_its_column() -> None:
    columns = {
        (direction, regime): {
            "alone": plus(ALONE, shift),
            "free": plus(ALONE[::-1], shift + 0.02),
            "fdkd": plus(ALONE[2:] + ALONE[:2], 2 * shift),
        }
        for shift, (direction, regime) in zip(
            (0.01, 0.1, 0.2, 0.3),
            [(d, r) for r in ("full", "few") for d in ("a2v", "v2a")],
            strict=True,
        )
    }
    settings, rows = study(columns)
    lines = table(settings, rows[::-1])
    place = ""
    found: dict[tuple[str, str], list[str]] = {}
    regime = ""
    for line in lines:
        if line.startswith("## "):
            regime = line[3:]
        elif line.startswith("### "):
            place = line[4:]
        elif line.startswith("| ") and not line.startswith("| method"):
            found.setdefault((place, regime), []).append(line)
    assert found.keys() == columns.keys()
    for key, column in columns.items():
        a, free, fdkd = column["alone"], column["free"], column["fdkd"]
        score = {m: f"{100 * mean(v):.1f} ± {100 * stdev(v):.1f}" for m, v in column.items()}
        assert found[key] == [
            f"| alone | {score['alone']} | - | - |",
            f"| free | {score['free']} | {by_hand(free, a)} | - |",
            f"| fdkd | {score['fdkd']} | {by_hand(fdkd, a)} | {by_hand(fdkd, free)} (free) |",
        ]


def test_the_table_says_what_it_shows() -> None:
    column = {("a2v", "full"): {"alone": ALONE}}
    first = table(*study(column))[0]
    assert "Test accuracy" in first
    assert "last epoch" in first
    assert "n = 5 seeds" in first
    best = table(*study(column, epoch="best", metric="macro_f1"))
    assert "Test macro_f1" in best[0]
    assert "chosen on validation data" in best[0]
    assert any(line.startswith("| alone | 40.0 ± 1.6 |") for line in best)


def test_one_seed_has_no_deviation_and_no_interval() -> None:
    lines = table(*study({("a2v", "full"): {"alone": [0.5], "fdkd": [0.625]}}))
    assert "| alone | 50.0 | - | - |" in lines
    assert "| fdkd | 62.5 | +12.5 | - |" in lines


def test_the_teachers_are_below_with_the_weights_that_taught() -> None:
    settings, rows = study({("a2v", "full"): {"alone": ALONE}})
    rows += [
        Row("teacher", "audio", "full", seed, "", True, {"test_last": 0.0, "test_best": v})
        for seed, v in enumerate(ALONE)
    ]
    assert table(settings, rows)[-1] == "Teachers, on their own modality: audio (full) 50.0 ± 1.6."


# The words.


def test_a_gain_over_baseline_and_control_is_the_teachers() -> None:
    column = {"alone": ALONE, "free": plus(ALONE, 0.05), "fdkd": plus(ALONE[::-1], 0.3)}
    text = said(column)
    expected = (
        f"fdkd is above alone ({by_hand(column['fdkd'], ALONE)}, n = 5); "
        f"it is above free ({by_hand(column['fdkd'], column['free'])}, n = 5): "
        "the teacher adds to what heads and batches alone give."
    )
    assert text["fdkd"] == expected
    assert text["highest"].startswith("Highest mean: fdkd, the winner, above every other row")


def test_a_gain_that_the_control_has_too_is_not_shown_to_be_transfer() -> None:
    column = {"alone": ALONE, "free": plus(ALONE[::-1], 0.3), "fdkd": plus(ALONE, 0.3)}
    text = said(column)
    assert text["fdkd"].startswith("fdkd is above alone (")
    assert "; it is not told apart from free (" in text["fdkd"]
    assert text["fdkd"].endswith(": this gain is not shown to be transfer.")
    assert "teacher adds" not in text["fdkd"]
    assert "not told apart from all others" in text["highest"]


def test_a_gain_that_the_control_exceeds_is_not_shown_to_be_transfer() -> None:
    text = said({"alone": ALONE, "free": plus(ALONE[::-1], 0.4), "fdkd": plus(ALONE, 0.2)})
    assert text["fdkd"].startswith("fdkd is above alone (")
    assert "; it is below free (" in text["fdkd"]
    assert text["fdkd"].endswith(": this gain is not shown to be transfer.")
    assert text["highest"].startswith("Highest mean: free, the winner")


def test_a_loss_is_said_to_be_one() -> None:
    text = said({"alone": ALONE, "fdkd": plus(ALONE[::-1], -0.3)})
    assert (
        text["fdkd"] == f"fdkd is below alone ({by_hand(plus(ALONE[::-1], -0.3), ALONE)}, n = 5)."
    )
    assert text["highest"].startswith("Highest mean: alone, the winner")


def test_no_difference_is_not_told_apart() -> None:
    free, fdkd = ([a + d for a in ALONE] for d in (0.0, 0.005))
    text = said({"alone": ALONE, "free": free[::-1], "fdkd": fdkd[2:] + fdkd[:2]})
    assert text["free"].startswith("free is not told apart from alone (")
    assert text["fdkd"].startswith("fdkd is not told apart from alone (")
    assert "; it is not told apart from free (" in text["fdkd"]
    assert "transfer" not in text["fdkd"]
    assert "teacher adds" not in text["fdkd"]
    assert "not told apart from all others" in text["highest"]


def test_a_method_that_only_its_control_is_below_is_not_called_above_the_baseline() -> None:
    text = said({"alone": ALONE, "free": plus(ALONE, -0.3), "fdkd": ALONE[2:] + ALONE[:2]})
    assert text["fdkd"].startswith("fdkd is not told apart from alone (")
    assert "; it is above free (" in text["fdkd"]
    assert "not told apart from all others" in text["highest"]


def test_without_a_control_nothing_is_said_of_transfer() -> None:
    text = said({"alone": ALONE, "fdkd": plus(ALONE, 0.3)})
    assert re.fullmatch(r"fdkd is above alone \(.*, n = 5\)\.", text["fdkd"])


def test_a_winner_needs_more_than_the_interval_of_one_comparison() -> None:
    differences = [1.0, 2.0, 3.0, 4.0, 0.6]
    best = [a + d / 100 for a, d in zip(ALONE, differences, strict=True)]
    others = {f"other {i}": ALONE for i in range(8)}
    text = said({"alone": ALONE, **others, "fdkd": best})
    assert text["fdkd"].startswith("fdkd is above alone (")
    assert text["highest"] == (
        "Highest mean: fdkd, not told apart from all others after correction for 9 comparisons."
    )


def test_of_one_seed_nothing_is_said() -> None:
    column = {"alone": [0.1], "free": [0.5], "fdkd": [0.9]}
    lines = words(*study({("a2v", "full"): column}))
    assert lines[-1] == "One seed: no interval, and nothing can be said of differences."
    assert not any("apart" in line or "above" in line for line in lines)


def test_a_gain_must_be_above_every_control() -> None:
    column = {"alone": ALONE, "free": plus(ALONE, 0.05), "fdkd": plus(ALONE[::-1], 0.3)}
    both = {"fdkd": ["free", "other"]}
    for other, verdict in ((0.1, "the teacher adds"), (0.3, "not shown to be transfer")):
        text = said({**column, "other": plus(ALONE, other)}, controls=both)["fdkd"]
        assert "; it is above free (" in text
        assert verdict in text.rpartition(": ")[2]


def test_a_control_that_is_the_baseline_is_said_once() -> None:
    text = said({"alone": ALONE, "fdkd": plus(ALONE, 0.3)}, controls={"fdkd": ["alone"]})["fdkd"]
    assert text.count("alone (") == 1
    assert text.endswith(": the teacher adds to what heads and batches alone give.")


def test_the_last_line_counts_the_intervals() -> None:
    others = {f"m{i}": ALONE for i in range(18)}
    column = {"alone": ALONE, "free": ALONE, "fdkd": ALONE, **others}
    two = {("a2v", "full"): column, ("v2a", "full"): column}
    # In each of two columns 20 methods against the baseline and one against its control.
    last = words(*study(two))[-1]
    assert "of the 42 above, 2.1 do on average" in last


def test_every_column_has_its_words() -> None:
    columns = {
        ("a2v", "full"): {"alone": ALONE, "fdkd": plus(ALONE, 0.2)},
        ("a2v", "few"): {"alone": plus(ALONE, 0.2), "fdkd": ALONE},
    }
    lines = words(*study(columns))
    first, second = lines.index("**a2v, full**"), lines.index("**a2v, few**")
    assert [line for line in lines[first:second] if line.startswith("- fdkd is above alone")]
    assert [line for line in lines[second:] if line.startswith("- fdkd is below alone")]


# The files.


def test_the_report_is_written_from_the_results_alone(
    make_study: Callable[..., Any], pretend: Callable[..., None], tmp_path: Path
) -> None:
    study = make_study(seeds=[0, 1, 2])
    value = {"teacher": 0.9, "alone": 0.5, "fdkd": 0.7, "free": 0.6}
    pretend(
        study, lambda run: Result("accuracy", 0, 0, 0, value[run.method] + run.seed**2 / 100, 0.25)
    )
    write_results(study, collect(study), study.folder)
    (study.folder / "runs").rename(tmp_path / "gone")
    text = report(study.folder)
    assert (study.folder / "table.md").read_text() == text
    assert (study.folder / "table.png").read_bytes().startswith(b"\x89PNG")
    settings, rows = read_results(study.folder)
    for line in (*table(settings, rows), *words(settings, rows)):
        assert line in text.splitlines()
    # 70, 71, 74: mean 71.7, deviation 2.1.
    assert re.search(r"^\| fdkd \| 71\.7 ± 2\.1 \| \+20\.0 \[", text, re.MULTILINE)
    assert "Teachers, on their own modality: audio (full) 25.0 ± 0.0." in text


def test_without_results_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give the folder of a study that was run"):
        report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_reference_is_compared_with_and_says_nothing_of_transfer() -> None:
    column = {"alone": ALONE, "free": plus(ALONE, 0.01), "fdkd": plus(ALONE, 0.2)}
    column |= {"variant": plus(ALONE, 0.1)}
    settings, rows = study({("a2v", "full"): column})
    settings["methods"]["variant"]["references"] = ["fdkd"]
    below = by_hand(column["variant"], column["fdkd"])
    assert any(f"| {below} (fdkd) |" in line for line in table(settings, rows))
    (sentence,) = [line for line in words(settings, rows) if line.startswith("- variant")]
    assert sentence == (
        f"- variant is above alone ({by_hand(column['variant'], ALONE)}, n = 5); "
        f"it is below fdkd ({below}, n = 5)."
    )
    # Beside a control it does not weaken what the control shows.
    settings["methods"]["variant"]["controls"] = ["free"]
    (sentence,) = [line for line in words(settings, rows) if line.startswith("- variant")]
    assert sentence.endswith(": the teacher adds to what heads and batches alone give.")
