from collections.abc import Callable

import pytest

from fdkd_lightning.losses.schedule import CosineDecay, WarmUp, WeightSchedule


def test_a_schedule_must_have_a_factor() -> None:
    with pytest.raises(TypeError, match=r"abstract .*__call__"):
        WeightSchedule()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("epochs", "factors"),
    [
        (1, [1, 1, 1, 1, 1, 1]),
        (2, [0.5, 1, 1, 1, 1, 1]),
        (5, [0.2, 0.4, 0.6, 0.8, 1, 1]),
    ],
)
def test_a_warm_up_grows_in_equal_steps_and_stays(epochs: int, factors: list[float]) -> None:
    warm_up = WarmUp(epochs)
    assert [warm_up(epoch) for epoch in range(6)] == pytest.approx(factors, abs=1e-15)
    assert warm_up(10_000) == 1


def test_a_warm_up_takes_20_epochs() -> None:
    assert [WarmUp()(epoch) for epoch in (0, 9, 18, 19)] == [0.05, 0.5, 0.95, 1]


# cos 60 = 1/2 and cos 45 = 1/sqrt 2: a third of the way leaves 3/4, a quarter (2 + sqrt 2) / 4.
@pytest.mark.parametrize(
    ("epochs", "final", "factors"),
    [
        (1, 0.0, [1, 0, 0, 0, 0]),
        (2, 0.0, [1, 1 / 2, 0, 0, 0]),
        (3, 0.0, [1, 3 / 4, 1 / 4, 0, 0]),
        (4, 0.0, [1, (2 + 2**0.5) / 4, 1 / 2, (2 - 2**0.5) / 4, 0]),
        (3, 0.2, [1, 0.8, 0.4, 0.2, 0.2]),
        (3, 1.0, [1, 1, 1, 1, 1]),
        (2, 3.0, [1, 2, 3, 3, 3]),
    ],
)
def test_a_cosine_falls_to_its_final_factor_and_stays(
    epochs: int, final: float, factors: list[float]
) -> None:
    decay = CosineDecay(epochs, final)
    assert [decay(epoch) for epoch in range(5)] == pytest.approx(factors, abs=1e-15)
    assert decay(10_000) == pytest.approx(final, abs=1e-15)


def test_a_cosine_falls_to_nothing_by_default() -> None:
    assert CosineDecay(7)(7) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("schedule", [WarmUp, CosineDecay])
@pytest.mark.parametrize("epochs", [0, -3])
def test_less_than_one_epoch_is_an_error(
    schedule: Callable[[int], WeightSchedule], epochs: int
) -> None:
    with pytest.raises(ValueError, match=f"epochs={epochs} must be at least 1, for example 20"):
        schedule(epochs)
