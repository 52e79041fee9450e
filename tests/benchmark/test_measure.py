from collections.abc import Iterator

import pytest

from fdkd_lightning.benchmark.measure import measure


def test_functions_take_turns_after_one_untimed_call() -> None:
    calls: list[str] = []
    measure({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=2)
    assert calls == ["a", "b"] * 3


def test_the_timings_are_those_of_the_clock() -> None:
    def ticks() -> Iterator[float]:
        now = 0.0
        for duration in (3.0, 1.0, 2.0, 5.0, 4.0):
            yield now
            now += duration
            yield now

    (timing,) = measure({"a": int}, 5, ticks().__next__).values()
    assert timing == (3.0, 1.0, (2.0, 4.0))


def test_one_repeat_is_too_few() -> None:
    with pytest.raises(ValueError, match="repeats=1"):
        measure({}, 1)
