import re
from collections.abc import Mapping, Sequence
from typing import Any

from made_up import ALONE, by_hand, plus, study

from fdkd_lightning.report.comparison_text import comparison_lines
from fdkd_lightning.report.score_table import score_tables

ATTRIBUTED = ". Significant against every control: the gain is attributed to the teacher."
NOT_SHOWN = "at least one control: the gain is not shown to come from the teacher."


def lines_of(column: Mapping[str, Sequence[float]], **changes: Any) -> dict[str, str]:
    """The line of each method, and that of the highest mean."""
    lines = [line[2:] for line in comparison_lines(*study({("a2v", "full"): column}, **changes))]
    named = {
        name: line for line in lines for name in column if re.match(rf"{name} (is|does)\b", line)
    }
    (highest,) = [line for line in lines if line.startswith("Highest mean: ")]
    return named | {"highest": highest}


def test_a_gain_over_baseline_and_control_is_attributed_to_the_teacher() -> None:
    column = {"alone": ALONE, "free": plus(ALONE, 0.05), "fdkd": plus(ALONE[::-1], 0.3)}
    text = lines_of(column)
    expected = (
        f"fdkd is significantly higher than alone ({by_hand(column['fdkd'], ALONE)}, n = 5); "
        f"it is significantly higher than free ({by_hand(column['fdkd'], column['free'])}, n = 5). "
        "Significant against every control: the gain is attributed to the teacher."
    )
    assert text["fdkd"] == expected
    assert text["highest"] == (
        "Highest mean: fdkd, significantly higher than every other row (Bonferroni correction for "
        "2 comparisons)."
    )


def test_a_gain_that_the_control_has_too_is_not_attributed() -> None:
    column = {"alone": ALONE, "free": plus(ALONE[::-1], 0.3), "fdkd": plus(ALONE, 0.3)}
    text = lines_of(column)
    assert text["fdkd"].startswith("fdkd is significantly higher than alone (")
    assert "; it does not differ significantly from free (" in text["fdkd"]
    assert text["fdkd"].endswith(NOT_SHOWN)
    assert "attributed" not in text["fdkd"]
    assert "not significantly higher than at least one" in text["highest"]


def test_a_gain_that_the_control_exceeds_is_not_attributed() -> None:
    text = lines_of({"alone": ALONE, "free": plus(ALONE[::-1], 0.4), "fdkd": plus(ALONE, 0.2)})
    assert text["fdkd"].startswith("fdkd is significantly higher than alone (")
    assert "; it is significantly lower than free (" in text["fdkd"]
    assert text["fdkd"].endswith(NOT_SHOWN)
    assert text["highest"].startswith("Highest mean: free, significantly higher")


def test_a_loss_is_reported() -> None:
    text = lines_of({"alone": ALONE, "fdkd": plus(ALONE[::-1], -0.3)})
    loss = by_hand(plus(ALONE[::-1], -0.3), ALONE)
    assert text["fdkd"] == f"fdkd is significantly lower than alone ({loss}, n = 5)."
    assert text["highest"].startswith("Highest mean: alone, significantly higher")


def test_no_difference_is_not_significant() -> None:
    free, fdkd = ([a + d for a in ALONE] for d in (0.0, 0.005))
    text = lines_of({"alone": ALONE, "free": free[::-1], "fdkd": fdkd[2:] + fdkd[:2]})
    assert text["free"].startswith("free does not differ significantly from alone (")
    assert text["fdkd"].startswith("fdkd does not differ significantly from alone (")
    assert "; it does not differ significantly from free (" in text["fdkd"]
    assert "teacher" not in text["fdkd"]
    assert "not significantly higher than at least one" in text["highest"]


def test_a_gain_over_the_control_alone_gets_no_verdict() -> None:
    text = lines_of({"alone": ALONE, "free": plus(ALONE, -0.3), "fdkd": ALONE[2:] + ALONE[:2]})
    assert text["fdkd"].startswith("fdkd does not differ significantly from alone (")
    assert "; it is significantly higher than free (" in text["fdkd"]
    assert "not significantly higher than at least one" in text["highest"]


def test_without_a_control_there_is_no_verdict() -> None:
    text = lines_of({"alone": ALONE, "fdkd": plus(ALONE, 0.3)})
    assert re.fullmatch(r"fdkd is significantly higher than alone \(.*, n = 5\)\.", text["fdkd"])


def test_the_highest_mean_is_corrected_for_the_number_of_comparisons() -> None:
    differences = [1.0, 2.0, 3.0, 4.0, 0.6]
    best = [a + d / 100 for a, d in zip(ALONE, differences, strict=True)]
    others = {f"other {i}": ALONE for i in range(8)}
    text = lines_of({"alone": ALONE, **others, "fdkd": best})
    assert text["fdkd"].startswith("fdkd is significantly higher than alone (")
    assert text["highest"] == (
        "Highest mean: fdkd, not significantly higher than at least one other row (Bonferroni "
        "correction for 9 comparisons)."
    )


def test_one_seed_gives_no_comparison() -> None:
    column = {"alone": [0.1], "free": [0.5], "fdkd": [0.9]}
    lines = comparison_lines(*study({("a2v", "full"): column}))
    assert lines[-1] == "One seed: no confidence interval, so no comparison is made."
    assert not any("significant" in line for line in lines)


def test_a_gain_must_exceed_every_control() -> None:
    column = {"alone": ALONE, "free": plus(ALONE, 0.05), "fdkd": plus(ALONE[::-1], 0.3)}
    both = {"fdkd": ["free", "other"]}
    for other, verdict in ((0.1, ATTRIBUTED), (0.3, NOT_SHOWN)):
        text = lines_of({**column, "other": plus(ALONE, other)}, controls=both)["fdkd"]
        assert "; it is significantly higher than free (" in text
        assert text.endswith(verdict)


def test_a_control_that_is_the_baseline_is_named_once() -> None:
    text = lines_of({"alone": ALONE, "fdkd": plus(ALONE, 0.3)}, controls={"fdkd": ["alone"]})[
        "fdkd"
    ]
    assert text.count("alone (") == 1
    assert text.endswith(
        ". Its only control is alone, without a teacher: whether the pairs matter is not tested."
    )


def test_the_last_line_counts_the_intervals() -> None:
    others = {f"m{i}": ALONE for i in range(18)}
    column = {"alone": ALONE, "free": ALONE, "fdkd": ALONE, **others}
    two = {("a2v", "full"): column, ("v2a", "full"): column}
    # In each of two columns 20 methods against the baseline and one against its control.
    last = comparison_lines(*study(two))[-1]
    assert "so 2.1 of the 42 above are expected to" in last


def test_a_single_interval_is_not_counted() -> None:
    last = comparison_lines(*study({("a2v", "full"): {"alone": ALONE, "fdkd": ALONE[::-1]}}))[-1]
    assert last == "An interval misses the true difference in 5 % of studies."


def test_every_column_has_its_comparisons() -> None:
    columns = {
        ("a2v", "full"): {"alone": ALONE, "fdkd": plus(ALONE, 0.2)},
        ("a2v", "few"): {"alone": plus(ALONE, 0.2), "fdkd": ALONE},
    }
    lines = comparison_lines(*study(columns))
    first, second = lines.index("**a2v, full**"), lines.index("**a2v, few**")
    assert [
        line
        for line in lines[first:second]
        if line.startswith("- fdkd is significantly higher than alone")
    ]
    assert [
        line
        for line in lines[second:]
        if line.startswith("- fdkd is significantly lower than alone")
    ]


def test_a_reference_is_compared_with_and_gives_no_verdict() -> None:
    column = {"alone": ALONE, "free": plus(ALONE, 0.01), "fdkd": plus(ALONE, 0.2)}
    column |= {"variant": plus(ALONE, 0.1)}
    settings, rows = study({("a2v", "full"): column})
    settings["methods"]["variant"]["references"] = ["fdkd"]
    below = by_hand(column["variant"], column["fdkd"])
    assert any(f"| {below} (fdkd) |" in line for line in score_tables(settings, rows))
    (sentence,) = [
        line for line in comparison_lines(settings, rows) if line.startswith("- variant")
    ]
    above = by_hand(column["variant"], ALONE)
    assert sentence == (
        f"- variant is significantly higher than alone ({above}, n = 5); "
        f"it is significantly lower than fdkd ({below}, n = 5)."
    )
    # Beside a control it does not weaken what the control shows.
    settings["methods"]["variant"]["controls"] = ["free"]
    (sentence,) = [
        line for line in comparison_lines(settings, rows) if line.startswith("- variant")
    ]
    assert sentence.endswith(ATTRIBUTED)
