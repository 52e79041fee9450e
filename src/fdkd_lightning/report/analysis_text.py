"""Three sentences on the analysis of a pair of networks."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any


def analysis_sentences(row: Mapping[str, Any]) -> list[str]:
    """Return three sentences: what the pairs carry, what the bands show, and the headroom.

    Pairs carry information if their R² is above 0 and above that of every shuffle (19: a chance of
    1 in 20). The order of the channels matters if the low band's similarity minus the high band's
    lies outside of those of all permutations (a chance of 1 in 10).

    Args:
        row: The row of a teacher in ``analysis.json``.

    Example:
        >>> row = {"teacher": "audio", "student": "visual", "r2": 0.241}
        >>> row |= {"r2_shuffled": [0.0, -0.01], "pairs": 800, "r2_reverse": 0.1}
        >>> row |= {"r2_shuffled_in_groups": None, "r2_new_groups": None}
        >>> print(pairs_sentence(row))
        The audio teacher's features predict 24 % of the variance of the visual student's beyond \
the class; shuffled pairs 0 %: pairs carry information (800 labelled pairs; the student's predict \
10 % of the teacher's).
    """
    return [pairs_sentence(row), bands_sentence(row), headroom_sentence(row)]


def pairs_sentence(row: Mapping[str, Any]) -> str:
    """Return what the pairs share beyond the class."""
    shuffled = row["r2_shuffled"]
    verdict = "pairs carry information"
    if not _is_above(row["r2"], shuffled):
        verdict = f"no sign that {verdict}"
    groups = ""
    if row["r2_shuffled_in_groups"] is not None:
        groups = f" ({_percent(mean(row['r2_shuffled_in_groups']))} within their group)"
    new_groups = ""
    if row["r2_new_groups"] is not None:
        holds = _is_above(row["r2_new_groups"], row["r2_new_groups_shuffled"])
        new_groups = (
            f"; of groups left out they predict {_percent(row['r2_new_groups'])}, shuffled "
            f"{_percent(mean(row['r2_new_groups_shuffled']))}"
            f"{'' if holds else ': no linear map holds for new ones'}"
        )
    return (
        f"The {row['teacher']} teacher's features predict {_percent(row['r2'])} of the variance of "
        f"the {row['student']} student's beyond the class; shuffled pairs "
        f"{_percent(mean(shuffled))}{groups}: {verdict} ({row['pairs']} labelled pairs; the "
        f"student's predict {_percent(row['r2_reverse'])} of the teacher's{new_groups})."
    )


def bands_sentence(row: Mapping[str, Any]) -> str:
    """Return how similar the features are as a whole and per frequency band."""
    start = f"Linear CKA is {row['cka']:.2f} (shuffled {row['cka_shuffled']:.2f}); "
    if row["bands"] is None:
        return f"{start}the features differ in width, so their bands cannot be compared."
    low, high, _ = row["bands"]
    gaps = [band[0] - band[1] for band in row["bands_permuted"]]
    permuted = [mean(values) for values in zip(*row["bands_permuted"], strict=True)]
    matters = "matters" if not min(gaps) <= low - high <= max(gaps) else "shows no effect"
    return (
        f"{start}the pairs' mean cosine is {low:.2f} in the low band and {high:.2f} in the high "
        f"band, {permuted[0]:.2f} and {permuted[1]:.2f} with the channels permuted: the order of "
        f"the channels {matters} (with the mean: {row['bands_with_dc'][0]:.2f} low)."
    )


def headroom_sentence(row: Mapping[str, Any]) -> str:
    """Return what the teacher knows of the classes, and what is left for the student to gain."""
    accuracy = row["teacher_accuracy"]
    known = "not known" if accuracy is None else _percent(accuracy)
    itself = known if row["teacher_knows_classes"] else f"{known}, on other classes"
    probe = (
        f"A linear probe of the teacher's features with {row['probe_labels']} labels names "
        f"{_percent(row['probe_accuracy'])} of the validation samples (the teacher itself: "
        f"{itself}; always the largest class: {_percent(row['chance'])})"
    )
    if row["student_accuracy"] is None:
        return (
            f"{probe}; the student is as the configuration makes it, and its headroom not known: "
            "give --student_checkpoint."
        )
    return (
        f"{probe}, the student without teacher {_percent(row['student_accuracy'])}: "
        f"{100 * row['headroom']:.0f} points of headroom."
    )


def _is_above(paired: float, shuffled: Sequence[float]) -> bool:
    return paired > max(0.0, *shuffled)


def _percent(value: float) -> str:
    # No minus before a zero.
    return f"{round(100 * value) + 0:d} %"
