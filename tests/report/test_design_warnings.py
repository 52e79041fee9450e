from typing import Any

import pytest

from fdkd_lightning.report.design_warnings import design_warnings


def settings(question: str | None, seeds: int = 3, **controls: list[str]) -> dict[str, Any]:
    """A study of a baseline and of methods with these controls."""
    methods = {name: {"controls": x} for name, x in ({"alone": []} | controls).items()}
    return {
        "baseline": "alone",
        "question": question,
        "methods": methods,
        "seeds": list(range(seeds)),
    }


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        (settings("fdkd", kd=["alone"], fdkd=[]), "fdkd names no controls"),
        (settings("fdkd", kd=[], fdkd=["free"], free=[]), None),
        (settings(None, kd=[], fdkd=[]), "No method names controls"),
        # Controls need none: that a method lacks them is then stated in its row alone.
        (settings(None, kd=[], fdkd=["free"], free=[]), None),
        (settings(None), None),
    ],
)
def test_missing_controls_are_named(given: dict[str, Any], subject: str | None) -> None:
    found = design_warnings(given)
    assert len(found) == (subject is not None)
    assert all(text.startswith(f"{subject}, so a gain could not be called") for text in found)


def test_two_seeds_are_too_few_for_their_intervals() -> None:
    # Of one seed there is no interval, which the tables state.
    found = {n: design_warnings(settings("fdkd", n, fdkd=["alone"])) for n in (1, 2, 3)}
    assert found[1] == found[3] == []
    assert found[2] == ["2 seeds: intervals of so few seeds mean little; give 3 or more"]
