"""A study's question, and its answer in three sentences: the gain, its controls, its rivals."""

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

from fdkd_lightning.report.score_table import difference_text
from fdkd_lightning.study.paired_difference import Difference, paired_difference
from fdkd_lightning.study.results import Row, scores


def answer_lines(settings: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Return the lines of :func:`answers`, as a list in Markdown; none if nothing is asked."""
    lines: list[str] = []
    for regime, sentences in answers(settings, rows).items():
        lines += ["", *([f"**{regime}**", ""] if len(settings["regimes"]) > 1 else [])]
        lines += [f"- {sentence}" for sentence in sentences]
    return lines[1:]


def question_text(settings: dict[str, Any]) -> str:
    """Return the question that :func:`answers` answers: it names what is compared, no more."""
    method, baseline = settings.get("question"), settings["baseline"]
    if method is None:
        return (
            f"Which methods are better than {baseline}, and is the gain transfer from the teacher? "
            "The study asks about no single method."
        )
    parts = [f"than {baseline}"]
    parts += ["than its controls"] if _controls(settings, method) else []
    parts += ["than its rivals"] if settings["methods"][method].get("references") else []
    listed = " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:2])}, and {parts[2]}"
    return f"Is {method} better {listed}?"


def answers(settings: dict[str, Any], rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return three sentences per regime on the method that the study asks about.

    The first compares it with the baseline, the second with its controls, the third with the best
    of its references; each over all directions, by the mean paired difference and its 95 %
    confidence interval. Where it names no controls or references, their sentence is left out.

    Args:
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        rows: Rows of all runs.

    Returns:
        Regime -> sentences; empty if the study asks about no method.
    """
    method = settings.get("question")
    if method is None:
        return {}
    found = scores(settings, rows)
    entry = settings["methods"][method]
    controls = _controls(settings, method)
    sentences: dict[str, list[str]] = {}
    for regime in settings["regimes"]:
        columns = {name: found[name, regime] for name in settings["directions"]}
        sentences[regime] = [_gain(settings, columns, method)]
        if controls:
            sentences[regime].append(_controlled(columns, method, controls, settings["baseline"]))
        if entry.get("references"):
            sentences[regime].append(_rivalled(columns, method, entry["references"]))
    return sentences


def _controls(settings: dict[str, Any], method: str) -> list[str]:
    """The controls beside the baseline, which the first sentence compares with."""
    controls = settings["methods"][method]["controls"]
    return [name for name in controls if name != settings["baseline"]]


Columns = dict[str, dict[str, list[float]]]


def _gain(settings: dict[str, Any], columns: Columns, method: str) -> str:
    baseline = settings["baseline"]
    parts = []
    for direction, column in columns.items():
        gain = paired_difference(column[method], column[baseline])
        if not gain.n:
            parts.append(f"{direction}: failed")
            continue
        pairs = zip(column[baseline], column[method], strict=True)
        before, after = (
            100 * mean(values)
            for values in zip(*(pair for pair in pairs if not math.isnan(sum(pair))), strict=True)
        )
        parts.append(f"{direction}: from {before:.1f} to {after:.1f} % ({difference_text(gain)})")
    n = len(settings["seeds"])
    return f"{method} against {baseline}, test {settings['metric']}, n = {n}: {'; '.join(parts)}."


def _controlled(columns: Columns, method: str, controls: Sequence[str], baseline: str) -> str:
    differences = {
        (control, direction): paired_difference(column[method], column[control])
        for control in controls
        for direction, column in columns.items()
    }
    compared = [difference for difference in differences.values() if difference.n]
    above = sum(difference.sign > 0 for difference in compared)
    gains = {name: paired_difference(x[method], x[baseline]) for name, x in columns.items()}
    # Where the method itself failed, nothing is claimed; a failed control leaves a gain open.
    asked = [difference for (_, name), difference in differences.items() if gains[name].n]
    verdict = ""
    if any(gain.sign > 0 for gain in gains.values()):
        verdict = (
            ", so a gain, where there is one, comes from the teacher"
            if all(difference.sign > 0 for difference in asked)
            else ", so the gain is not shown to come from the teacher where it is not above"
        )
    return (
        f"Against what learns nothing from the right teacher, {_list(differences)}: significantly "
        f"above in {above} of {len(compared)}{verdict}."
    )


def _rivalled(columns: Columns, method: str, rivals: Sequence[str]) -> str:
    differences: dict[tuple[str, str], Difference] = {}
    for direction, column in columns.items():
        # A NaN, a failed run, is below every number here.
        best = max(rivals, key=lambda name: _whole_mean(column[name]))
        differences[best, direction] = paired_difference(column[method], column[best])
    above, below = (
        sum(difference.sign == sign for difference in differences.values()) for sign in (1, -1)
    )
    compared = sum(difference.n > 0 for difference in differences.values())
    return (
        f"Against the best other method, {_list(differences)}: significantly above in {above} of "
        f"{compared}, below in {below}."
    )


def _list(differences: dict[tuple[str, str], Difference]) -> str:
    return "; ".join(
        f"{other}, {direction} {difference_text(difference)}"
        for (other, direction), difference in differences.items()
    )


def _whole_mean(values: Sequence[float]) -> float:
    found = mean(values)
    return -math.inf if math.isnan(found) else found
