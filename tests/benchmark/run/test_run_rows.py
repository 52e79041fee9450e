import pytest

from fdkd_lightning.benchmark.run.run_rows import run_rows

STEPS = [
    {"data": 0.0, "student": 2.0, "other": 1.0},
    {"data": 9.0, "student": 3.0, "other": 1.0},
    {"data": 0.0, "student": 50.0, "other": 1.0},
]


def rows_by_part(loader: float | None) -> dict[str, float]:
    rows = run_rows("live", "batch 4", STEPS, loader, None)
    return {row.variant.removeprefix("live: "): row.median for row in rows}


def test_work_is_a_median_and_the_wait_for_data_a_mean() -> None:
    assert rows_by_part(None) == {"step": 7.0, "data": 3.0, "student": 3.0, "other": 1.0}


def test_a_loader_slower_than_the_work_sets_the_pace() -> None:
    assert rows_by_part(10.0)["data"] == 10 - 4
    assert rows_by_part(10.0)["step"] == 10
    assert rows_by_part(5.0)["data"] == 3  # as observed, since workers compete with the step


def test_shares_add_up_to_one() -> None:
    step, *parts = run_rows("live", "batch 4", STEPS, None, None)
    assert sum(part.ratio or 0 for part in parts) == pytest.approx(1)
    assert {part.compared_with for part in parts} == {step.variant}


def test_a_second_variant_is_compared_with_the_first() -> None:
    first = run_rows("live", "batch 4", STEPS, None, None)[0]
    faster = run_rows("cached", "batch 4", [{"student": 3.5}], None, first)[0]
    assert (faster.compared_with, faster.ratio) == ("live: step", 0.5)
