from typing import Any

import pytest

from fdkd_lightning.report.analysis_text import analysis_sentences


def sentences(row: dict[str, Any], **changed: Any) -> list[str]:
    return analysis_sentences({**row, **changed})


def test_the_three_sentences_are_computed(analysis_row: dict[str, Any]) -> None:
    assert sentences(analysis_row) == [
        "The audio teacher's features predict 24 % of the variance of the visual student's beyond "
        "the class; shuffled pairs 0 % (14 % within their group): pairs carry information (800 "
        "labelled pairs; the student's predict 10 % of the teacher's; of groups left out they "
        "predict 8 %, shuffled 0 %).",
        "Linear CKA is 0.50 (shuffled 0.25); the pairs' mean cosine is 0.40 in the low band and "
        "0.10 in the high band, 0.25 and 0.25 with the channels permuted: the order of the "
        "channels matters (with the mean: 0.90 low).",
        "A linear probe of the teacher's features with 20 labels names 75 % of the validation "
        "samples (the teacher itself: 80 %; always the largest class: 10 %), the student without "
        "teacher 60 %: 40 points of headroom.",
    ]


@pytest.mark.parametrize("changed", [{"r2": 0.004}, {"r2": -0.01, "r2_shuffled": [-0.1, -0.2]}])
def test_no_more_than_a_shuffle_or_than_nothing_is_no_sign(
    analysis_row: dict[str, Any], changed: dict[str, Any]
) -> None:
    first = sentences(analysis_row, **changed)[0]
    assert "within their group): no sign that pairs carry information (" in first


def test_what_does_not_hold_for_new_groups_is_stated(analysis_row: dict[str, Any]) -> None:
    first = sentences(analysis_row, r2_new_groups=-0.1)[0]
    assert "within their group): pairs carry information (" in first
    assert "they predict -10 %, shuffled 0 %: no linear map holds for new ones)." in first
    unknown = {"r2_new_groups": None, "r2_shuffled_in_groups": None}
    assert "group" not in sentences(analysis_row, **unknown)[0]


def test_the_order_of_channels_matters_outside_of_all_permutations(
    analysis_row: dict[str, Any],
) -> None:
    # The permuted differences are 0.05 and -0.05.
    assert "the channels shows no effect" in sentences(analysis_row, bands=[0.14, 0.1, 0.1])[1]
    assert "the channels matters" in sentences(analysis_row, bands=[0.0, 0.06, 0.1])[1]


def test_what_is_not_known_is_not_stated(analysis_row: dict[str, Any]) -> None:
    second = sentences(analysis_row, bands=None, bands_with_dc=None, bands_permuted=[])[1]
    assert second.endswith("the features differ in width, so their bands cannot be compared.")
    foreign = {"teacher_knows_classes": False, "teacher_accuracy": 0.8}
    assert "(the teacher itself: 80 %, on other classes;" in sentences(analysis_row, **foreign)[2]
    foreign["teacher_accuracy"] = None  # type: ignore[assignment]  # a row may lack it
    assert "itself: not known, on other classes;" in sentences(analysis_row, **foreign)[2]
    unknown = sentences(analysis_row, student_accuracy=None, headroom=None)[2]
    assert unknown.endswith("its headroom not known: give --student_checkpoint.")
