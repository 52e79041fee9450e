import unicodedata
import warnings

import pytest

from fdkd_lightning.data.label_names import clean_labels
from fdkd_lightning.data.preparation.sample import Sample, classes_of


def cleaned(labels: list[str], class_names: list[str] | None = None) -> list[str]:
    samples = [Sample(str(i), "train", label, {}) for i, label in enumerate(labels)]
    return [sample.label for sample in clean_labels(samples, class_names)]


def classes(labels: list[str]) -> tuple[str, ...]:
    return classes_of(Sample("", "", label, {}) for label in cleaned(labels))


@pytest.mark.parametrize("none", ["", "  ", "nan", "NaN", "<NA>", "-100", "-100.0", "\u00a0"])
def test_no_label_is_no_class(none: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cleaned(["owl", none, "wren"]) == ["owl", "", "wren"]
        assert classes(["10", none, "9"]) == ("9", "10")


def test_minus_one_is_no_label_but_said() -> None:
    with pytest.warns(UserWarning, match=r"3 samples have the label -1, which means that there is"):
        assert cleaned(["1", "-1", "-1.0", "0", " -1 "]) == ["1", "", "", "0", ""]


def test_a_named_class_stays_whatever_it_is_called() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cleaned(["-1", "1.0", "-1.0"], ["-1", "1"]) == ["-1", "1", "-1"]
        assert cleaned(["nan", " pita", ""], ["nan", "pita"]) == ["nan", "pita", ""]
        assert cleaned(["001", "2"], ["001", "002"]) == ["001", "002"]
        assert cleaned(["x "], ["x ", "y"]) == ["x "]


def test_equal_numbers_are_one_class_and_sort_as_numbers() -> None:
    """As pandas writes whole numbers of a column that has missing values."""
    floats = [f"{i}.0" for i in range(12)]
    assert classes([*floats, "nan"]) == tuple(map(str, range(12)))
    assert classes(["10.0", "10", "1e1", "+10", "010"]) == ("10",)
    assert classes(["0.5", ".25", "-2", "1.50"]) == ("-2", "0.25", "0.5", "1.5")
    # Not all are numbers: nothing is converted.
    assert classes(["10.0", "9", "x"]) == ("10.0", "9", "x")


def test_near_equal_names_are_two_classes_but_said() -> None:
    owl = "Schlafm\u00fctze"
    pairs = [
        ("owl", "Owl"),
        ("barn owl", "barn_owl"),
        (owl, unicodedata.normalize("NFD", owl)),
        ("1.0 m", "1.0m"),
    ]
    for pair in pairs:
        with pytest.warns(UserWarning, match="are 2 classes, but differ only in case, spacing"):
            assert cleaned(list(pair)) == list(pair)
    assert cleaned(["owl", "owl ", "\towl"]) == 3 * ["owl"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(classes(["-2", "2", "0.2", "02.5"])) == 4
        assert len(classes(["C", "C++"])) == 2


def test_a_class_called_none_is_said() -> None:
    with pytest.warns(UserWarning, match="label 'None' is a class: leave the cell empty"):
        assert classes(["owl", "None"]) == ("None", "owl")


def test_other_fields_stay() -> None:
    sample = Sample("a", "test", " owl", {"audio": "a"}, 1.0, 2.0, "g", "w", {"audio": "m"}, "f")
    assert clean_labels([sample])[0] == sample._replace(label="owl")
