import math

import pytest
from made_up import ALONE, plus, study

from fdkd_lightning.report.verdict import Verdict, summary_text, verdict, verdict_text

NAN = [math.nan] * 5
WIDE = [0.1, 0.9, 0.2, 0.8, 0.5]


@pytest.mark.parametrize(
    ("fdkd", "free", "controls", "expected", "words"),
    [
        (plus(ALONE, 0.2), ALONE, ["free"], Verdict.ATTRIBUTED, "attributed to the teacher"),
        (
            plus(ALONE, 0.2),
            plus(ALONE, 0.2),
            ["alone", "free"],
            Verdict.NOT_SHOWN,
            "but not than free, without help from the right teacher: the gain is not shown to be "
            "transfer",
        ),
        (plus(ALONE, 0.2), NAN, ["free"], Verdict.NOT_SHOWN, "but not than free,"),
        (plus(ALONE, 0.2), ALONE, [], Verdict.NO_CONTROL, "it has no control"),
        (plus(ALONE, 0.2), ALONE, ["alone"], Verdict.PAIRS_UNTESTED, "its only control"),
        (plus(ALONE, -0.2), ALONE, ["free"], Verdict.LOWER, "significantly lower than alone"),
        (WIDE, ALONE, ["free"], Verdict.NO_GAIN, "does not differ significantly from alone"),
        (NAN, ALONE, ["free"], Verdict.FAILED, "cannot be compared"),
        ([0.9, *NAN[1:]], ALONE, ["free"], Verdict.ONE_SEED, "one seed: no interval"),
    ],
)
def test_a_gain_is_transfer_only_above_every_control(
    fdkd: list[float], free: list[float], controls: list[str], expected: Verdict, words: str
) -> None:
    columns = {("a2v", "full"): {"alone": ALONE, "fdkd": fdkd, "free": free}}
    settings, _ = study(columns, controls={"fdkd": controls})
    assert verdict(settings, columns["a2v", "full"], "fdkd") is expected
    assert words in verdict_text(settings, columns["a2v", "full"], "fdkd")


def test_the_baseline_is_named() -> None:
    columns = {("a2v", "full"): {"alone": ALONE}}
    settings, _ = study(columns)
    assert verdict_text(settings, columns["a2v", "full"], "alone") == "the baseline"


def test_the_summary_counts_each_row_once() -> None:
    column = {
        "alone": ALONE,
        "above": plus(ALONE, 0.2),
        "equal": plus(ALONE, 0.1),
        "free": plus(ALONE, 0.1),
        "pairs": plus(ALONE, 0.1),
        "low": plus(ALONE, -0.1),
        "lost": NAN,
    }
    controls = {"above": ["free"], "equal": ["free"], "pairs": ["alone"]}
    settings, _ = study({("a2v", "full"): column}, controls=controls)
    assert summary_text(settings, column) == (
        "Of 6 other rows 4 are significantly higher than alone (1 also higher than every control, "
        "1 not higher than at least one control (not shown to be transfer), 1 without another "
        "control than the baseline, 1 without a control), 1 significantly lower, 1 cannot be "
        "compared."
    )
