"""Sentences on which differences of a study are significant."""

import math
from collections.abc import Sequence
from typing import Any

from fdkd_lightning.report.design_warnings import design_warnings
from fdkd_lightning.report.score_table import compared_with, difference_text
from fdkd_lightning.report.verdict import Verdict, verdict
from fdkd_lightning.study.paired_difference import Difference, leader, paired_difference
from fdkd_lightning.study.results import Column, Row, scores

VERDICTS = {
    Verdict.PAIRS_UNTESTED: "Its only control is {baseline}, without a teacher: whether the pairs "
    "matter is not tested.",
    Verdict.ATTRIBUTED: "Significant against every control: the gain is attributed to the teacher.",
    Verdict.NOT_SHOWN: "Not significant against at least one control: the gain is not shown to "
    "come from the teacher.",
}


def comparison_lines(settings: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Return a line per method, regime and direction: its differences and their significance.

    A method with controls gets a verdict where its gain over the baseline is significant: the gain
    is attributed to the teacher only if it is also significant against every control. Where the
    baseline is the only control, the verdict says what that leaves open.
    """
    lines = ["## Comparisons", ""]
    warnings = [f"Warning: {x}." for x in (*settings["warnings"], *design_warnings(settings))]
    if len(settings["seeds"]) < 2:
        return [*lines, *warnings, "One seed: no confidence interval, so no comparison is made."]
    lines += [
        "A difference is significant if the 95 % confidence interval of the mean paired difference "
        "(Student's t over the seeds) excludes 0.",
        "",
    ]
    sentences, closing = comparisons(settings, rows)
    for (direction, regime), found in sentences.items():
        lines += [f"**{direction}, {regime}**", "", *(f"- {sentence}" for sentence in found), ""]
    return [*lines, *warnings, closing]


def comparisons(
    settings: dict[str, Any], rows: Sequence[Row]
) -> tuple[dict[Column, list[str]], str]:
    """Return the sentences of each direction and regime, and one on all intervals in them."""
    sentences: dict[Column, list[str]] = {}
    intervals = 0
    for column_name, column in scores(settings, rows).items():
        found = sentences[column_name] = []
        for method in column:
            if method != settings["baseline"]:
                found.append(_sentence(settings, column, method))
                intervals += len({settings["baseline"], *compared_with(settings, method)})
        whole = {name: x for name, x in column.items() if not any(map(math.isnan, x))}
        if len(whole) > 1:
            found.append(_highest(whole))
    if intervals < 2:
        return sentences, "An interval misses the true difference in 5 % of studies."
    return sentences, (
        "The intervals are not corrected for multiple comparisons: each misses the true difference "
        f"in 5 % of studies, so {intervals / 20:.1f} of the {intervals} above are expected to."
    )


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
    baseline = settings["baseline"]
    gain = paired_difference(column[method], column[baseline])
    parts = [f"{method} {_relation(gain, baseline)}"]
    for other in compared_with(settings, method):
        if other != baseline:
            difference = paired_difference(column[method], column[other])
            parts.append(f"it {_relation(difference, other)}")
    text = f"{'; '.join(parts)}."
    found = verdict(settings, column, method)
    return f"{text} {VERDICTS[found].format(baseline=baseline)}" if found in VERDICTS else text


def _relation(difference: Difference, reference: str) -> str:
    if not difference.n:
        return f"cannot be compared with {reference} (failed runs)"
    relation = {
        1: "is significantly higher than",
        -1: "is significantly lower than",
        0: "does not differ significantly from",
    }[difference.sign]
    return f"{relation} {reference} ({difference_text(difference)}, n = {difference.n})"
