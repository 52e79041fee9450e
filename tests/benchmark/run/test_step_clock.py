from collections.abc import Iterator

from fdkd_lightning.benchmark.run.step_clock import StepClock


def clock_of(*times: float) -> StepClock:
    now: Iterator[float] = iter(times)
    return StepClock(lambda: next(now), wait=lambda: None)


def test_parts_add_up_to_the_step_without_those_within_them() -> None:
    clock = clock_of(0, 1, 3, 6, 10, 15)
    clock.enter("optimizer")
    clock.enter("student")
    clock.leave()
    clock.leave()
    clock.end_step()
    assert clock.steps == [{"other": 1 + 5, "optimizer": 2 + 4, "student": 3}]


def test_a_part_may_become_another() -> None:
    clock = clock_of(0, 0, 2, 5, 5)
    clock.enter("loss")
    clock.switch("student")
    clock.leave()
    clock.end_step()
    assert clock.steps == [{"other": 0, "loss": 2, "student": 3}]


def test_what_is_discarded_belongs_to_no_step() -> None:
    clock = clock_of(0, 100, 101)
    clock.discard()
    clock.end_step()
    assert clock.steps == [{"other": 1}]


def test_it_waits_before_it_looks() -> None:
    order: list[str] = []
    clock = StepClock(lambda: order.append("look") or 0.0, lambda: order.append("wait"))
    clock.end_step()
    assert order == ["look", "wait", "look"]
