"""Warnings on the design of a study: missing controls, too few seeds."""

from typing import Any

FEWEST_SEEDS = 3
"""With two, Student's t has one degree of freedom: 12.7 standard errors each way."""


def design_warnings(settings: dict[str, Any]) -> list[str]:
    """Return what the study's design leaves open, without a full stop.

    Args:
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.

    Example:
        >>> methods = {"alone": {"controls": []}, "KD": {"controls": []}}
        >>> settings = {"baseline": "alone", "question": "KD", "methods": methods, "seeds": [0, 1]}
        >>> for warning in design_warnings(settings):
        ...     print(warning)
        KD names no controls, so a gain could not be called transfer: add controls: [...] to it
        2 seeds: intervals of so few seeds mean little; give 3 or more
    """
    methods, baseline, asked = settings["methods"], settings["baseline"], settings.get("question")
    found = []
    if asked is not None and not methods[asked]["controls"]:
        found.append(
            f"{asked} names no controls, so a gain could not be called transfer: add controls: "
            "[...] to it"
        )
    others = [method["controls"] for name, method in methods.items() if name != baseline]
    if asked is None and others and not any(others):
        found.append(
            "No method names controls, so a gain could not be called transfer: add controls: [...] "
            "to the methods"
        )
    n = len(settings["seeds"])
    if 1 < n < FEWEST_SEEDS:
        found.append(
            f"{n} seeds: intervals of so few seeds mean little; give {FEWEST_SEEDS} or more"
        )
    return found
