from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.coverage import (
    CoverageError,
    check_coverage,
    is_usable,
    make_report,
)
from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.sample import Sample

STATUSES = ["ok", "absent", "missing", "refused", "missing", "ok"]


def test_each_split_is_counted_and_its_faults_are_reported() -> None:
    splits = ["train"] * 4 + ["test"] * 2
    pairs = list(zip(splits, STATUSES, strict=True))
    # "absent": the optional sound.
    sources = [{"text": "so"} if status in ("ok", "absent") else {} for status in STATUSES]
    rows = [
        Row(str(i), *split_label(pair), source, pair[1], "why")
        for i, (pair, source) in enumerate(zip(pairs, sources, strict=True))
    ]
    samples = [Sample(row.id, row.split, "", {}, where=f"line {row.id}") for row in rows]
    report = make_report(Path("m.csv"), samples, rows, 3, ["text", "audio"], ["audio"])
    assert [(report.found(s), report.expected(s)) for s in ("train", "test")] == [(2, 4), (1, 2)]
    assert str(report).splitlines() == [
        "train: 2 of 4 samples (50.0%); missing 1, refused 1",
        "test: 1 of 2 samples (50.0%); missing 1",
        "  line 2: '2': why",
        "  line 3: '3': why",
        "  line 4: '4': why",
    ]
    check_coverage(report, 0.5)
    with pytest.raises(CoverageError, match=r"split 'test' has 1 of 2 samples, less than "):
        check_coverage(report, 0.51)
    # Of the train split's four one is refused by the lists themselves.
    alone = report._replace(statuses={"train": report.statuses["train"]})
    check_coverage(alone, 0.66)
    with pytest.raises(CoverageError, match=r"split 'train' has 2 of 3 samples, less than "):
        check_coverage(alone, 0.67)


def split_label(pair: tuple[str, str]) -> tuple[str, str]:
    return pair[0], ""


def test_of_many_faults_the_first_are_reported() -> None:
    rows = [Row(str(i), "train", "", {}, "missing", f"why {i}") for i in range(1007)]
    samples = [Sample(row.id, "train", "", {}) for row in rows]
    report = make_report(Path("m.csv"), samples, rows, 0, ["text"])
    assert len(report.faults) == 6
    assert report.faults[-1] == "... and 1,002 more: see m.csv"
    dry = make_report(Path("m.csv"), samples, rows, 0, ["text"], dry_run=True)
    assert dry.faults[-1] == "... and 1,002 more"
    with pytest.raises(CoverageError) as error:
        check_coverage(report, 0.5)
    assert str(error.value).splitlines()[1:] == [
        "  '0': why 0; '1': why 1; '2': why 2; ... and 1,004 more: see m.csv"
    ]
    assert error.value.report is report


def test_counts_are_of_what_is_trained_on() -> None:
    """Of 32 samples 2 have no readable sound, 10 none in the table, 3 only a faulty image."""
    sources = 17 * [{"audio": "a", "visual": "v"}] + 2 * [{"visual": "v"}] + 10 * [{"visual": "v"}]
    sources += 3 * [{"audio": "a"}]
    statuses = 17 * ["ok"] + 2 * ["missing"] + 10 * ["absent"] + 3 * ["truncated"]
    rows = [
        Row(str(i), "train", "", source, status, "why")
        for i, (source, status) in enumerate(zip(sources, statuses, strict=True))
    ]
    samples = [Sample(row.id, "train", "", {}, where=f"line {row.id}") for row in rows]
    report = make_report(Path("m.csv"), samples, rows, 0, ["audio", "visual"], ["visual"])
    assert report.used == {"train": 20}
    assert report.lacking == {"train": {"audio": 10}}
    counts = {"ok": 17, "missing": 2, "absent": 10, "truncated": 3, "used": 20}
    assert report.counts() == {"train": counts}
    assert str(report).splitlines() == [
        "train: 20 of 32 samples (62.5%); missing 2, truncated 3, without audio 10",
        *(f"  line {i}: '{i}': why" for i in (17, 18, 29, 30, 31)),
        *(f"  line {i}: '{i}' is left out: without audio" for i in range(19, 24)),
        "  ... and 5 more: see m.csv",
    ]
    # What the table does not have is no fault: 17 of the other 22 are without one.
    check_coverage(report, 0.77)
    with pytest.raises(CoverageError, match=r"split 'train' has 17 of 22 samples, less than "):
        check_coverage(report, 0.78)
    both = make_report(Path("m.csv"), samples, rows, 0, ["audio", "visual"])
    assert both.used == {"train": 17}
    none = make_report(Path("m.csv"), samples, rows, 0, ["text"], ["text"])
    assert (none.used, none.lacking) == ({"train": 0}, {"train": {"text": 27}})


def test_a_sample_without_a_label_map_is_used_but_not_one_with_a_faulty_map() -> None:
    unlabelled, faulty = (
        Sample(str(i), "test", "", {"label_map": "m"} if i else {}) for i in (0, 1)
    )
    row = Row("", "test", "", {"visual": "v"}, "ok", "")
    assert is_usable(unlabelled, row, ["visual"], [])
    assert not is_usable(faulty, row, ["visual"], [])
