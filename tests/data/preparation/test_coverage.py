from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.coverage import CoverageError, check_coverage, make_report
from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.sample import Sample

STATUSES = ["ok", "absent", "missing", "refused", "missing", "ok"]


def test_each_split_is_counted_and_its_faults_are_reported() -> None:
    splits = ["train"] * 4 + ["test"] * 2
    pairs = list(zip(splits, STATUSES, strict=True))
    rows = [Row(str(i), *split_label(pair), {}, pair[1], "why") for i, pair in enumerate(pairs)]
    samples = [Sample(row.id, row.split, "", {}, where=f"line {row.id}") for row in rows]
    report = make_report(Path("m.csv"), samples, rows, decoded=3)
    assert [(report.found(s), report.expected(s)) for s in ("train", "test")] == [(2, 4), (1, 2)]
    assert str(report).splitlines() == [
        "train: 2 of 4 samples (50.0%); missing 1, refused 1",
        "test: 1 of 2 samples (50.0%); missing 1",
        "  line 2: why",
        "  line 3: why",
        "  line 4: why",
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
    report = make_report(Path("m.csv"), samples, rows, decoded=0)
    assert len(report.faults) == 6
    assert report.faults[-1] == "... and 1,002 more: see m.csv"
