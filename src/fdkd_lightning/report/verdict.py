"""Verdict on a method of a study: whether it gains, and whether the gain is transfer."""

from collections import Counter
from enum import Enum
from typing import Any

from fdkd_lightning.study.paired_difference import paired_difference


class Verdict(Enum):
    """Conclusion from the paired differences of a method."""

    BASELINE = "the baseline"
    FAILED = "cannot be compared: its runs or those of the baseline failed"
    ONE_SEED = "one seed: no interval"
    LOWER = "significantly lower than the baseline"
    NO_GAIN = "no significant difference from the baseline"
    NO_CONTROL = "a gain; no control is named"
    PAIRS_UNTESTED = "a gain; the baseline is the only control"
    NOT_SHOWN = "a gain, not significant against at least one control"
    ATTRIBUTED = "a gain, significant against every control"


def verdict(settings: dict[str, Any], column: dict[str, list[float]], method: str) -> Verdict:
    """Return what the differences of a method show, in one regime and direction.

    A gain is a difference from the baseline whose 95 % interval is above 0. It is attributed to the
    teacher only if those from every control are too.

    Args:
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        column: Method -> one score per seed.
        method: Name of the method.

    Example:
        >>> methods = {"alone": [], "KD": ["alone"], "FD": ["KD"]}
        >>> settings = {"baseline": "alone"}
        >>> settings["methods"] = {name: {"controls": x} for name, x in methods.items()}
        >>> column = {"alone": [0.5, 0.6], "KD": [0.7, 0.8], "FD": [0.7, 0.9]}
        >>> verdict(settings, column, "KD").name
        'PAIRS_UNTESTED'
        >>> verdict(settings, column, "FD").name
        'NO_GAIN'
    """
    baseline, controls = settings["baseline"], settings["methods"][method]["controls"]
    if method == baseline:
        return Verdict.BASELINE
    gain = paired_difference(column[method], column[baseline])
    if gain.n < 2:
        return Verdict.ONE_SEED if gain.n else Verdict.FAILED
    if gain.sign < 1:
        return Verdict.LOWER if gain.sign else Verdict.NO_GAIN
    if not controls:
        return Verdict.NO_CONTROL
    if controls == [baseline]:
        return Verdict.PAIRS_UNTESTED
    signs = [paired_difference(column[method], column[control]).sign for control in controls]
    return Verdict.ATTRIBUTED if min(signs) > 0 else Verdict.NOT_SHOWN


def verdict_text(settings: dict[str, Any], column: dict[str, list[float]], method: str) -> str:
    """Return the words of a table's cell, with the names of the controls that stand against it."""
    baseline, found = settings["baseline"], verdict(settings, column, method)
    if found is Verdict.LOWER:
        return f"significantly lower than {baseline}"
    if found is Verdict.NO_GAIN:
        return f"does not differ significantly from {baseline}"
    higher = f"significantly higher than {baseline}"
    if found is Verdict.NO_CONTROL:
        return f"{higher}; it has no control, so the gain is not shown to be transfer"
    if found is Verdict.PAIRS_UNTESTED:
        return f"{higher}, its only control: whether the pairs matter is not tested"
    if found is Verdict.ATTRIBUTED:
        return f"{higher} and than every control: the gain is attributed to the teacher"
    if found is Verdict.NOT_SHOWN:
        against = " and ".join(
            control
            for control in settings["methods"][method]["controls"]
            if paired_difference(column[method], column[control]).sign < 1
        )
        return (
            f"{higher}, but not than {against}, without help from the right teacher: the gain is "
            "not shown to be transfer"
        )
    return str(found.value)


def summary_text(settings: dict[str, Any], column: dict[str, list[float]]) -> str:
    """Return a sentence that counts the verdicts on all methods of a regime and direction."""
    baseline = settings["baseline"]
    found = Counter(verdict(settings, column, method) for method in column if method != baseline)
    gains = {
        Verdict.ATTRIBUTED: "also higher than every control",
        Verdict.NOT_SHOWN: "not higher than at least one control (not shown to be transfer)",
        Verdict.PAIRS_UNTESTED: "without another control than the baseline",
        Verdict.NO_CONTROL: "without a control",
    }
    n = sum(found[gain] for gain in gains)
    parts = [f"{found[gain]} {words}" for gain, words in gains.items() if found[gain]]
    text = f"Of {found.total()} other rows {n} are significantly higher than {baseline}"
    text += f" ({', '.join(parts)})" if parts else ""
    text += f", {found[Verdict.LOWER]} significantly lower"
    unknown = found[Verdict.FAILED] + found[Verdict.ONE_SEED]
    return f"{text}, {unknown} cannot be compared." if unknown else f"{text}."
