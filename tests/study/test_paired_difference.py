import math
import warnings

import numpy as np
import pytest
from scipy import stats

from fdkd_lightning.study.paired_difference import (
    Difference,
    leader,
    paired_difference,
    transfer_lines,
)

TABLES, METHODS, SEEDS = 1000, 8, 5


def tables(seed: int, effect: float = 0.0) -> np.ndarray:
    """[table, method, seed]: seeds that are hard for all, and the last method's true effect."""
    generator = np.random.default_rng(seed)
    hardness = 3 * generator.normal(size=(TABLES, 1, SEEDS))
    scores = hardness + generator.normal(size=(TABLES, METHODS, SEEDS))
    scores[:, -1] += effect
    return scores


def by_name(table: np.ndarray) -> dict[str, list[float]]:
    return {f"method {i}": row.tolist() for i, row in enumerate(table)}


# One difference.


def test_an_interval_worked_out_by_hand() -> None:
    # Differences 1, 2, 3, 4, 5: mean 3, variance 10 / 4. In a table t(0.975, 4) = 2.776.
    difference = paired_difference([11, 12, 13, 14, 15], [10, 10, 10, 10, 10])
    half = 2.776 * math.sqrt(2.5 / 5)
    assert difference.mean == 3
    assert difference.n == 5
    assert (difference.low, difference.high) == pytest.approx((3 - half, 3 + half), abs=1e-3)
    # And t(0.95, 4) = 2.132.
    wide = paired_difference([11, 12, 13, 14, 15], [10, 10, 10, 10, 10], confidence=0.9)
    assert wide.low == pytest.approx(3 - 2.132 * math.sqrt(2.5 / 5), abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5, 40])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_interval_is_scipys(n: int, confidence: float) -> None:
    method, reference = np.random.default_rng(n).normal(size=(2, n))
    found = paired_difference(method.tolist(), reference.tolist(), confidence)
    expected = stats.ttest_rel(method, reference).confidence_interval(confidence)
    assert found.mean == pytest.approx((method - reference).mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("shift", [-1.5, -0.2, 0.0, 0.2, 1.5])
def test_the_sign_is_there_where_scipys_p_value_is_below_5_percent(shift: float) -> None:
    for seed in range(20):
        method, reference = np.random.default_rng(seed).normal(size=(2, 6))
        found = paired_difference((method + shift).tolist(), reference.tolist())
        test = stats.ttest_rel(method + shift, reference)
        assert found.sign == (np.sign(test.statistic) if test.pvalue < 0.05 else 0)


def test_what_all_seeds_share_cancels() -> None:
    method, reference, hardness = np.random.default_rng(0).normal(size=(3, 5))
    plain = paired_difference(method.tolist(), reference.tolist())
    hard = [(x + 100 * hardness).tolist() for x in (method, reference)]
    assert paired_difference(*hard) == pytest.approx(plain, rel=1e-9)


def test_the_reverse_difference_is_the_mirror_image() -> None:
    method, reference = np.random.default_rng(0).normal(size=(2, 5)).tolist()
    there, back = paired_difference(method, reference), paired_difference(reference, method)
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low))


def test_one_seed_has_a_difference_and_no_interval() -> None:
    difference = paired_difference([0.75], [0.5])
    assert (difference.mean, difference.n) == (0.25, 1)
    assert math.isnan(difference.low)
    assert math.isnan(difference.high)
    assert difference.sign == 0


@pytest.mark.parametrize(("shift", "sign"), [(0.0, 0), (0.5, 1), (-0.5, -1)])
def test_constant_differences_are_certain(shift: float, sign: int) -> None:
    reference = [1.0, 2.0, 5.0]
    difference = paired_difference([x + shift for x in reference], reference)
    assert difference == Difference(shift, shift, shift, 3)
    assert difference.sign == sign


def test_differences_that_are_constant_but_for_rounding_are_no_cause_for_warning() -> None:
    # Accuracies on 50 samples, one more each: in binary the differences are not quite the same.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        difference = paired_difference([0.54, 0.42, 0.44], [0.52, 0.4, 0.42])
    assert (difference.low, difference.high) == pytest.approx((0.02, 0.02), abs=1e-12)


def test_other_numbers_of_seeds_are_an_error() -> None:
    with pytest.raises(ValueError, match="method has 1 scores, reference 2: give one score"):
        paired_difference([1.0], [1.0, 2.0])


# The winner.


def test_the_leader_is_the_best_mean() -> None:
    scores = {"a": [1.0, 2.0, 3.0], "b": [3.0, 3.0, 3.0], "c": [9.0, 0.0, -1.0]}
    assert leader(scores)[0] == "b"


def test_a_winner_is_above_every_other_one_alone() -> None:
    low, lower = [0.1, 0.2, 0.1, 0.2], [0.0, 0.1, 0.1, 0.0]
    assert leader({"low": low, "best": [1.0, 1.1, 0.9, 1.0], "lower": lower}) == ("best", True)
    # As good as the best on most seeds.
    close = [1.1, 1.0, 0.9, 0.9]
    scores = {"low": low, "best": [1.0, 1.1, 0.9, 1.0], "close": close}
    assert leader(scores) == ("best", False)


def test_more_comparisons_ask_for_more() -> None:
    # One-sided p = 0.02: enough for one comparison at 0.05, not for eight at 0.05 / 8.
    differences = np.array([1.0, 2.0, 3.0, 4.0, 0.2])
    p = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert 0.05 / 8 < p < 0.05
    best, other = differences.tolist(), [0.0] * 5
    assert leader({"best": best, "other": other}) == ("best", True)
    others = {f"other {i}": other for i in range(8)}
    assert leader({"best": best, **others}) == ("best", False)


def test_one_seed_has_no_winner() -> None:
    assert leader({"a": [1.0], "b": [0.0]}) == ("a", False)


# Many tables, whose truth is known.


def test_intervals_miss_in_5_percent_of_tables_without_a_difference() -> None:
    misses = sum(
        paired_difference(table[1].tolist(), table[0].tolist()).sign != 0 for table in tables(0)
    )
    # Three standard deviations of the binomial distribution.
    assert abs(misses - 0.05 * TABLES) < 3 * math.sqrt(TABLES * 0.05 * 0.95)


def test_intervals_miss_a_planted_effect_as_seldom() -> None:
    misses = 0
    for table in tables(1, effect=2.0):
        difference = paired_difference(table[-1].tolist(), table[0].tolist())
        misses += not difference.low < 2.0 < difference.high
    assert abs(misses - 0.05 * TABLES) < 3 * math.sqrt(TABLES * 0.05 * 0.95)


@pytest.mark.parametrize("tied", [METHODS, 2])
def test_a_false_winner_is_named_in_at_most_5_percent_of_tables(tied: int) -> None:
    """All methods alike, and the hardest case: two that are alike above all others."""
    scores = tables(2)
    scores[:, tied:] -= 100
    winners = sum(leader(by_name(table))[1] for table in scores)
    assert winners <= 0.05 * TABLES + 3 * math.sqrt(TABLES * 0.05 * 0.95)


def test_a_second_best_that_leads_by_chance_is_hardly_ever_the_winner() -> None:
    wrong = 0
    for table in tables(3, effect=0.3):
        best, wins = leader(by_name(table))
        wrong += wins and best != f"method {METHODS - 1}"
    assert wrong <= 0.05 * TABLES


def test_a_large_effect_is_found() -> None:
    found, won = 0, 0
    some = tables(4, effect=10.0)[:200]
    for table in some:
        found += paired_difference(table[-1].tolist(), table[0].tolist()).sign == 1
        won += leader(by_name(table)) == (f"method {METHODS - 1}", True)
    # The difference has mean 10 and deviation sqrt 2: t is about 16, and must exceed 2.776, or
    # for all seven others 4.97.
    assert found > 0.99 * len(some)
    assert won > 0.9 * len(some)


def test_a_seed_that_failed_is_left_out_of_the_pairs() -> None:
    nan = math.nan
    assert paired_difference([1, 2, 4, nan], [0, 0, 0, 5]) == paired_difference([1, 2, 4], [0] * 3)
    assert paired_difference([nan, 1], [1, nan]).n == 0
    assert leader({"a": [1.0, 2.0], "b": [9.0, nan], "c": [0.5, 2.1]}) == ("a", False)
    with pytest.raises(ValueError, match="at least one method with finite scores"):
        leader({"a": [nan]})


# A method beside its controls.


def test_transfer_is_shown_only_above_each_control() -> None:
    # Differences of 10, 20 and 30 points: t(0.975, 2) = 4.303, deviation 10 / sqrt(3) points.
    scores = {"alone": [0.5, 0.5, 0.5], "taught": [0.6, 0.7, 0.8]}
    low, high = 20 - 4.303 * 10 / math.sqrt(3), 20 + 4.303 * 10 / math.sqrt(3)
    assert transfer_lines(scores, "taught") == [
        f"taught - alone: +20.0 points [{low:+.1f}, {high:+.1f}]: no significant difference",
        "transfer is not shown: not above each control",
    ]
    better = {"alone": [0.5, 0.5, 0.5], "taught": [0.7, 0.71, 0.72]}
    assert transfer_lines(better, "taught")[-1] == "transfer is shown: above each control"
    worse = better | {"shuffled": [0.9, 0.9, 0.9]}
    lines = transfer_lines(worse, "taught")
    assert lines[1].endswith(": significantly lower")
    assert lines[-1] == "transfer is not shown: not above each control"


def test_a_control_whose_runs_failed_is_named_and_shows_nothing() -> None:
    scores = {"alone": [0.5, 0.5], "shuffled": [0.5, math.nan], "taught": [0.7, 0.71]}
    lines = transfer_lines(scores, "taught")
    assert lines[0].endswith(": significantly higher")
    assert lines[1:] == [
        "taught - shuffled: fewer than two seeds of both: no interval",
        "transfer is not shown: not above each control",
    ]


def test_one_seed_has_no_interval_to_conclude_from() -> None:
    assert transfer_lines({"alone": [0.5], "taught": [0.9]}, "taught") == []


@pytest.mark.parametrize("scores", [{}, {"taught": [0.5, 0.6]}, {"alone": [0.5], "other": [0.5]}])
def test_a_method_without_scores_or_controls_is_refused(scores: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match=r"method='taught' and scores of .*: give the scores of"):
        transfer_lines(scores, "taught")
