import math
from typing import Any

import pytest

from fdkd_lightning.report.answer_text import answer_lines, question_text
from fdkd_lightning.study.results import Row

ALONE = [0.50, 0.52, 0.54]


def plus(values: list[float], gain: float, spread: float = 0.01) -> list[float]:
    return [value + gain + spread * (i - 1) for i, value in enumerate(values)]


COLUMNS = {
    "a2v": {
        "alone": ALONE,
        "ours": plus(ALONE, 0.2),
        "shuffled": plus(ALONE, -0.1),
        "near": plus(ALONE, 0.19, -0.03),
        "far": plus(ALONE, 0.05),
    },
    "v2a": {
        "alone": ALONE,
        "ours": plus(ALONE, 0.1),
        "shuffled": plus(ALONE, 0.1, -0.05),
        "near": plus(ALONE, 0.01),
        "far": plus(ALONE, 0.4),
    },
}


def study(regimes: tuple[str, ...] = ("few",), **changes: Any) -> tuple[dict[str, Any], list[Row]]:
    settings = {
        "epoch": "last",
        "metric": "accuracy",
        "baseline": "alone",
        "question": "ours",
        "seeds": [0, 1, 2],
        "regimes": {regime: {} for regime in regimes},
        "directions": {direction: {} for direction in COLUMNS},
        "methods": {name: {"controls": [], "references": []} for name in COLUMNS["a2v"]},
    }
    settings["methods"]["ours"] = {
        "controls": ["alone", "shuffled"],
        "references": ["near", "far"],
    }
    rows = [
        Row(method, direction, regime, seed, "", True, {"test_last": value})
        for regime in regimes
        for direction, column in COLUMNS.items()
        for method, values in column.items()
        for seed, value in enumerate(values)
    ]
    return settings | changes, rows


def test_three_sentences_give_gain_controls_and_the_best_rival_of_each_direction() -> None:
    gain, control, rival = answer_lines(*study())
    # Differences of 19, 20 and 21 points: 20 +- 4.303 / sqrt(3).
    assert gain == (
        "- ours against alone, test accuracy, n = 3: a2v: from 52.0 to 72.0 % "
        "(+20.0 [+17.5, +22.5]); v2a: from 52.0 to 62.0 % (+10.0 [+7.5, +12.5])."
    )
    assert control == (
        "- Against what learns nothing from the right teacher, shuffled, a2v +30.0 [+30.0, +30.0]; "
        "shuffled, v2a +0.0 [-14.9, +14.9]: significantly above in 1 of 2, so the gain is not "
        "shown to come from the teacher where it is not above."
    )
    assert rival.startswith("- Against the best other method, near, a2v +1.0 [")
    assert rival.endswith("v2a -30.0 [-30.0, -30.0]: significantly above in 0 of 2, below in 1.")


def test_a_gain_above_all_controls_comes_from_the_teacher() -> None:
    settings, rows = study(directions={"a2v": {}})
    control = answer_lines(settings, rows)[1]
    assert control.endswith(
        "significantly above in 1 of 1, so a gain, where there is one, comes from the teacher."
    )


def test_of_no_gain_nothing_is_concluded() -> None:
    settings, rows = study()
    for row in rows:  # as high as the method in all its seeds
        row.values["test_last"] += 0.3 if row.method == "alone" else 0.0
    control = answer_lines(settings, rows)[1]
    assert control.endswith("shuffled, v2a +0.0 [-14.9, +14.9]: significantly above in 1 of 2.")


def test_a_direction_whose_runs_failed_is_not_counted() -> None:
    settings, rows = study()
    for row in rows:
        if row.direction == "v2a" and row.method == "ours":
            row.values["test_last"] = math.nan
    gain, control, rival = answer_lines(settings, rows)
    assert gain.endswith("; v2a: failed.")
    assert "shuffled, v2a failed: significantly above in 1 of 1, so a gain" in control
    assert "v2a failed: significantly above in 0 of 1, below in 0." in rival


def test_a_failed_control_shows_nothing() -> None:
    settings, rows = study()
    for row in rows:
        if row.direction == "v2a" and row.method == "shuffled":
            row.values["test_last"] = math.nan
    control = answer_lines(settings, rows)[1]
    assert "shuffled, v2a failed: significantly above in 1 of 1, so the gain is not" in control


def test_each_regime_has_its_sentences() -> None:
    lines = answer_lines(*study(("all", "few")))
    assert [line for line in lines if line.startswith("**")] == ["**all**", "**few**"]
    assert len([line for line in lines if line.startswith("- ")]) == 6


def test_a_study_without_a_question_has_no_answer() -> None:
    assert answer_lines(*study(question=None)) == []
    settings, rows = study()
    del settings["question"]  # results of an earlier version
    assert answer_lines(settings, rows) == []


def test_a_failed_direction_is_said() -> None:
    settings, rows = study()
    lost = [row for row in rows if (row.method, row.direction) != ("ours", "a2v")]
    gain, control, _ = answer_lines(settings, lost)
    assert "a2v: failed; v2a: from 52.0" in gain
    assert "shuffled, a2v failed" in control


def test_a_seed_that_failed_is_left_out_of_the_means() -> None:
    settings, rows = study(directions={"a2v": {}})
    kept = [row for row in rows if (row.method, row.seed) != ("alone", 0)]
    # Of the seeds 1 and 2: 53 and 73.5.
    assert "a2v: from 53.0 to 73.5 % (+20.5 [" in answer_lines(settings, kept)[0]


def test_a_failed_rival_is_not_the_best() -> None:
    settings, rows = study()
    for row in rows:
        if row.method == "far" and row.seed == 1:
            row.values["test_last"] = math.nan
    assert "near, v2a" in answer_lines(settings, rows)[2]


@pytest.mark.parametrize(
    ("controls", "references", "words", "sentences"),
    [
        (["shuffled"], ["near"], "alone, than its controls, and than its rivals?", 3),
        (["shuffled"], [], "alone and than its controls?", 2),
        (["alone"], ["near"], "alone and than its rivals?", 2),
        ([], [], "alone?", 1),
    ],
)
def test_the_question_asks_what_is_answered(
    controls: list[str], references: list[str], words: str, sentences: int
) -> None:
    settings, rows = study()
    settings["methods"]["ours"] = {"controls": controls, "references": references}
    assert question_text(settings) == f"Is ours better than {words}"
    assert len(answer_lines(settings, rows)) == sentences
