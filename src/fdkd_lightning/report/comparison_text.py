"""Sentences on which differences of a study are significant."""

import math
from collections.abc import Sequence
from typing import Any

from fdkd_lightning.report.score_table import compared_with, difference_text
from fdkd_lightning.study.compare import Difference, leader, paired_difference
from fdkd_lightning.study.results import Row, scores


def comparison_lines(settings: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Return a line per method, regime and direction: its differences and their significance.

    A method with controls gets a verdict where its gain over the baseline is significant: the gain
    is attributed to the teacher only if it is also significant against every control. Where the
    baseline is the only control, the verdict says what that leaves open.
    """
    lines = ["## Comparisons", ""]
    if len(settings["seeds"]) < 2:
        return [*lines, "One seed: no confidence interval, so no comparison is made."]
    lines += [
        "A difference is significant if the 95 % confidence interval of the mean paired difference "
        "(Student's t over the seeds) excludes 0.",
        "",
    ]
    intervals = 0
    for (direction, regime), column in scores(settings, rows).items():
        lines += [f"**{direction}, {regime}**", ""]
        for method in column:
            if method != settings["baseline"]:
                lines.append(f"- {_sentence(settings, column, method)}")
                intervals += len({settings["baseline"], *compared_with(settings, method)})
        whole = {name: x for name, x in column.items() if not any(map(math.isnan, x))}
        if len(whole) > 1:
            lines += [f"- {_highest(whole)}", ""]
    lines += [f"Warning: {warning}." for warning in settings["warnings"]]
    lines.append(
        "The intervals are not corrected for multiple comparisons: each misses the true difference "
        f"in 5 % of studies, so {intervals / 20:.1f} of the {intervals} above are expected to."
    )
    return lines


def _highest(column: dict[str, list[float]]) -> str:
    best, significant = leader(column)
    correction = f"Bonferroni correction for {len(column) - 1} comparisons"
    if significant:
        return f"Highest mean: {best}, significantly higher than every other row ({correction})."
    return (
        f"Highest mean: {best}, not significantly higher than at least one other row "
        f"({correction})."
    )


def _sentence(settings: dict[str, Any], column: dict[str, list[float]], method: str) -> str:
    baseline, controls = settings["baseline"], settings["methods"][method]["controls"]
    gain = paired_difference(column[method], column[baseline])
    parts = [f"{method} {_relation(gain, baseline)}"]
    control_signs = []
    for other in compared_with(settings, method):
        difference = paired_difference(column[method], column[other])
        if other in controls:
            control_signs.append(difference.sign)
        if other != baseline:
            parts.append(f"it {_relation(difference, other)}")
    text = "; ".join(parts)
    if not control_signs or gain.sign < 1:
        return f"{text}."
    if controls == [baseline]:
        return (
            f"{text}. Its only control is {baseline}, without a teacher: whether the pairs matter "
            "is not tested."
        )
    if min(control_signs) > 0:
        return f"{text}. Significant against every control: the gain is attributed to the teacher."
    return (
        f"{text}. Not significant against at least one control: the gain is not shown to come "
        "from the teacher."
    )


def _relation(difference: Difference, reference: str) -> str:
    if not difference.n:
        return f"cannot be compared with {reference} (failed runs)"
    relation = {
        1: "is significantly higher than",
        -1: "is significantly lower than",
        0: "does not differ significantly from",
    }[difference.sign]
    return f"{relation} {reference} ({difference_text(difference)}, n = {difference.n})"
