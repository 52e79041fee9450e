from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from fdkd_lightning.training.lr_scheduler import PolyLR, scheduler_config


def optimizer(*rates: float) -> SGD:
    return SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates])


def rates(scheduler: PolyLR, epochs: int) -> list[list[float]]:
    """The groups' learning rates in each of the next epochs."""
    found = []
    for _ in range(epochs):
        found.append([group["lr"] for group in scheduler.optimizer.param_groups])
        assert scheduler.get_last_lr() == found[-1]
        scheduler.optimizer.step()
        scheduler.step()
    return found


def published(epoch: int, base: float = 1e-2) -> float:
    return 1e-4 + (base - 1e-4) * (1 - epoch / 100) ** 0.9


def test_it_is_the_published_formula() -> None:
    found = rates(PolyLR(optimizer(1e-2), max_epochs=100), 100)
    assert found == [[pytest.approx(published(epoch), rel=1e-12)] for epoch in range(100)]
    # By hand: half-way 1e-4 + 0.0099 * 0.5^0.9, and 0.5^0.9 = 0.535886731...
    assert found[50][0] == pytest.approx(0.00540527864, rel=1e-8)


def test_it_reaches_the_floor_and_stays_there() -> None:
    found = rates(PolyLR(optimizer(1e-2), max_epochs=3, min_lr=2e-4), 6)
    assert found[3:] == [[2e-4]] * 3
    assert found[2][0] > 2e-4


def test_each_group_starts_from_its_own_rate() -> None:
    found = rates(PolyLR(optimizer(1e-2, 1e-3), max_epochs=100), 100)
    for epoch, (first, second) in enumerate(found):
        assert first == pytest.approx(published(epoch), rel=1e-12)
        assert second == pytest.approx(published(epoch, 1e-3), rel=1e-12)


def test_power_1_is_linear() -> None:
    found = rates(PolyLR(optimizer(1.0), max_epochs=4, power=1, min_lr=0), 5)
    assert found == [[1.0], [0.75], [0.5], [0.25], [0.0]]


def resumed(state: dict[str, Any], sgd_state: dict[str, Any], max_epochs: int) -> PolyLR:
    sgd = optimizer(1e-2, 1e-3)
    scheduler = PolyLR(sgd, max_epochs)
    sgd.load_state_dict(sgd_state)
    scheduler.load_state_dict(state)
    return scheduler


def test_a_resumed_run_goes_on_and_may_be_longer() -> None:
    scheduler = PolyLR(optimizer(1e-2, 1e-3), max_epochs=10)
    rates(scheduler, 4)
    state, sgd_state = scheduler.state_dict(), scheduler.optimizer.state_dict()
    assert "max_epochs" not in state
    assert rates(resumed(state, sgd_state, 10), 6) == rates(scheduler, 6)
    whole = rates(PolyLR(optimizer(1e-2, 1e-3), max_epochs=20), 20)
    # Its first epoch still has the rate that the optimizer was stored with.
    assert rates(resumed(state, sgd_state, 20), 16)[1:] == whole[5:]


def test_the_length_may_come_after_the_scheduler() -> None:
    scheduler = PolyLR(optimizer(1e-2))
    scheduler.max_epochs = 100
    assert rates(scheduler, 2)[1] == [pytest.approx(published(1), rel=1e-12)]


def test_an_unknown_length_is_an_error_at_the_first_step() -> None:
    scheduler = PolyLR(optimizer(1e-2))
    scheduler.optimizer.step()
    with pytest.raises(RuntimeError, match="PolyLR has no max_epochs: give it"):
        scheduler.step()


@pytest.mark.parametrize("max_epochs", [0, -1])
def test_a_length_below_one_is_an_error(max_epochs: int) -> None:
    with pytest.raises(ValueError, match=f"max_epochs={max_epochs} must be at least 1"):
        PolyLR(optimizer(1e-2), max_epochs)


class Length:
    """A trainer, as far as schedulers look at it."""

    estimated_stepping_batches, max_epochs = 12, 3


@pytest.mark.parametrize(("total", "interval"), [(12, "step"), (3, "epoch")])
def test_one_cycle_is_stepped_as_often_as_it_is_long(total: int, interval: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total)
    config = scheduler_config(scheduler, Length())  # type: ignore[arg-type]
    assert config == {"scheduler": scheduler, "interval": interval, "monitor": None}


def test_one_cycle_of_another_length_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=7)
    with pytest.raises(ValueError, match=r"total_steps=7, but training has 12 steps in 3 epochs"):
        scheduler_config(scheduler, Length())  # type: ignore[arg-type]
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer)
    assert scheduler_config(constant, Length())["interval"] == "epoch"  # type: ignore[arg-type]


def test_cyclic_rates_are_stepped_after_each_batch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    cyclic = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, step_size_up=12)
    config = scheduler_config(cyclic, Length())  # type: ignore[arg-type]
    assert config == {"scheduler": cyclic, "interval": "step", "monitor": None}
    default = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1)
    with pytest.raises(ValueError, match=r"step_size_up=2000, but training has 12 steps in 3 ep"):
        scheduler_config(default, Length())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["SequentialLR", "ChainedScheduler"])
def test_schedulers_of_batches_within_others_are_refused(kind: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer)
    rates = [constant, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12)]
    whole: Any = (
        torch.optim.lr_scheduler.SequentialLR(optimizer, rates, milestones=[1])
        if kind == "SequentialLR"
        else torch.optim.lr_scheduler.ChainedScheduler(rates)
    )
    with pytest.raises(ValueError, match=f"{kind} holds a OneCycleLR, .* use it alone"):
        scheduler_config(whole, Length())  # type: ignore[arg-type]
