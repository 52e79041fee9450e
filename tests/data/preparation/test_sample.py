from collections.abc import Callable

import pytest

from fdkd_lightning.data.preparation.sample import Sample, check_samples, classes_of

Make = Callable[..., Sample]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "t.csv, line 9: the id is empty"),
        ({"id": "1"}, "t.csv, line 9: id '1' is that of t.csv, line 1 too"),
        ({"split": "dev"}, "t.csv, line 9: split 'dev' is none of train, val, test"),
        ({"label": "emu"}, r"t.csv, line 9: label 'emu' is none of the 2 classes \(a, b\)"),
        ({"sources": {"audio": "../x.wav"}}, r"t.csv, line 9: audio '\.\./x.wav' leaves the root"),
        ({"sources": {"audio": "/etc/x.wav"}}, "t.csv, line 9: audio '/etc/x.wav' leaves"),
    ],
)
def test_a_sample_that_is_not_to_be_trusted_is_named(
    make_sample: Make, changes: dict[str, object], message: str
) -> None:
    samples = [make_sample(1), make_sample(9)._replace(**changes)]
    with pytest.raises(ValueError, match=message):
        check_samples(samples, ["a", "b"], ["audio"])


def test_samples_without_label_or_file_and_texts_of_any_kind_are_fine(make_sample: Make) -> None:
    samples = [make_sample(1, label=""), Sample("2", "val", "a", {"text": "../so"}), make_sample(3)]
    check_samples(samples, ["a"], ["audio"])


def test_classes_are_sorted_as_numbers_where_they_are(make_sample: Make) -> None:
    def names(*labels: str) -> tuple[str, ...]:
        return classes_of(make_sample(i, label=label) for i, label in enumerate(labels))

    assert names("10", "9", "", "10") == ("9", "10")
    assert names("10", "9", "b", "a") == ("10", "9", "a", "b")
    assert names("") == ()
