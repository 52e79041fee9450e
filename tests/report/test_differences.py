import math

from made_up import ALONE, plus, study

from fdkd_lightning.report.differences import difference_rows

COLUMN = {"alone": ALONE, "fdkd": plus(ALONE, 0.2), "free": [math.nan] * 5, "KD": ALONE}


def test_each_method_is_compared_with_what_it_names_once() -> None:
    settings, rows = study({("a2v", "full"): COLUMN}, controls={"fdkd": ["alone", "free"]})
    settings["methods"]["fdkd"]["references"] = ["KD", "free"]
    found = difference_rows(settings, rows)
    assert [row[:5] for row in found] == [
        ("full", "a2v", "fdkd", "alone", "baseline"),
        ("full", "a2v", "fdkd", "free", "control"),
        ("full", "a2v", "fdkd", "KD", "rival"),
        ("full", "a2v", "free", "alone", "baseline"),
        ("full", "a2v", "KD", "alone", "baseline"),
    ]
    assert round(found[0].mean, 9) == 20
    assert found[1].n == 0
    assert math.isnan(found[1].mean)
