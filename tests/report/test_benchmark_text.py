from typing import Any

import pytest

from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED
from fdkd_lightning.benchmark.run.run_rows import run_rows
from fdkd_lightning.report.benchmark_text import run_sentences, saving, shares

RUN: dict[str, Any] = {
    "batch_size": 32,
    "batches_per_step": 1,
    "device": "cpu",
    "ranks": 1,
    "num_workers": 2,
    "samples": 3200,
    "steps_per_epoch": 100,
    "cache": {"why_not": None, "row_bytes": 2048, "with_maps": False, "skipped": ["audio"]},
}
LIVE = {"data": 0.1, "transfer": 0.0, "teacher audio": 0.5, "student": 0.3, "loss": 0.1}


def rows_of(live: dict[str, float], cached: dict[str, float] | None) -> list[Row]:
    rows = run_rows(CONFIGURED, "batch 32", [live] * 3, None, None)
    if cached is not None:
        rows += run_rows(CACHED, "batch 32", [cached] * 3, None, rows[0])
    return rows


def test_a_run_that_its_teacher_bounds() -> None:
    cached = LIVE | {"teacher audio": 0.0, "data": 0.0}
    first, second, third = run_sentences(rows_of(LIVE, cached), RUN)
    assert first == (
        "A step takes 1 s (32 samples/s with batches of 32 on cpu): teacher audio 50 %, student "
        "30 %, data 10 %, loss 10 %."
    )
    assert second.startswith("The teacher bounds it, with 50 % of the step. ")
    # 0.6 s a step to build, 0.6 s a step saved.
    assert third == (
        "With a teacher cache a step takes 400 ms, 2.5 times as fast, audio not being loaded. It "
        "takes 6.25 MiB for 3,200 samples in float32, and at most about 60 s to build, which it "
        "saves within 1 epoch."
    )


@pytest.mark.parametrize(
    ("part", "start"),
    [
        ("data", "The data bounds it, with 9"),
        ("student", "The student bounds it"),
        ("optimizer", "The student bounds it"),
        ("loss", "The loss bounds it"),
        ("other", "Lightning's loop with metrics and logging bounds it"),
        ("task loss and logging", "Lightning's loop with metrics and logging bounds it"),
    ],
)
def test_the_largest_group_of_parts_bounds_it(part: str, start: str) -> None:
    rows = rows_of({**LIVE, part: 20.0}, None)
    sentence = run_sentences(rows, {**RUN, "cache": {"why_not": "the run has no teacher"}})
    assert sentence[1].startswith(start)
    assert sentence[2] == "A teacher cache was not measured: the run has no teacher."


def test_ranks_are_named() -> None:
    first = run_sentences(rows_of(LIVE, LIVE), {**RUN, "ranks": 2})[0]
    assert "with batches of 32 on cpu, each of 2 ranks)" in first


def test_two_teachers_are_counted_together() -> None:
    rows = rows_of({**LIVE, "teacher text": 0.5}, None)
    assert shares(rows, CONFIGURED)["teacher"] == pytest.approx(1 / 1.5)


def test_a_cache_that_gives_nothing() -> None:
    live = {"teacher audio": 0.04, "student": 1.0}
    sentence = run_sentences(rows_of(live, live | {"teacher audio": 0.03}), RUN)[2]
    assert sentence == ("With a teacher cache a step takes 1.03 s: less than 5 % is to be gained.")


def test_a_cache_that_costs_more_than_it_saves() -> None:
    live = {"teacher audio": 0.1, "student": 0.5}
    sentence = run_sentences(rows_of(live, live | {"teacher audio": 0.4}), RUN)[2]
    assert sentence.endswith("reading the stored outputs costs more than it saves.")


def test_what_a_cache_cannot_change_does_not_count() -> None:
    busier = LIVE | {"teacher audio": 0.0, "student": 0.9}
    rows = rows_of(LIVE, busier)
    assert saving(rows) == pytest.approx(0.5)
    assert run_sentences(rows, RUN)[2].startswith(
        "With a teacher cache a step takes 500 ms (measured 1.1 s, while the machine's load "
        "changed), 2 times as fast"
    )
