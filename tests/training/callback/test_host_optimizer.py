import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from fdkd_lightning.training.callback.host_optimizer import (
    HiddenStates,
    join_parameters,
    optimizers_of,
    part_parameters,
)


def layers(seed: int = 0) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(seed)
    return nn.Linear(3, 2), nn.Linear(2, 2)


def sizes(optimizer: Optimizer) -> list[int]:
    return [len(group["params"]) for group in optimizer.param_groups]


def step(optimizer: Optimizer, *modules: nn.Module) -> None:
    optimizer.zero_grad()
    for module in modules:
        torch.stack([p.square().sum() for p in module.parameters()]).sum().backward()
    optimizer.step()


def test_the_optimizers_in_all_that_lightning_takes() -> None:
    own, other = (SGD(layer.parameters(), lr=0.1) for layer in layers())
    scheduler = OneCycleLR(own, 0.1, total_steps=3)
    one = [own, [own], (own,), {"optimizer": own, "lr_scheduler": scheduler}, ([own], [scheduler])]
    for configured in one:
        assert optimizers_of(configured) == [own]
    both = [
        [own, other],
        ([own, other], [{"scheduler": scheduler}]),
        [{"optimizer": own}, {"optimizer": other}],
    ]
    for configured in both:
        assert optimizers_of(configured) == [own, other]
    assert optimizers_of(None) == []


def test_joined_parameters_are_trained_and_schedulers_do_not_mind() -> None:
    own, ours = layers()
    optimizer = SGD(own.parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, 0.1, total_steps=3)
    join_parameters([optimizer], [*ours.parameters()], None)
    before = copy.deepcopy(ours.state_dict())
    rate = optimizer.param_groups[0]["lr"]
    step(optimizer, own, ours)
    scheduler.step()
    for name, p in ours.named_parameters():
        # The gradient of the sum of squares is twice the value.
        torch.testing.assert_close(p.detach(), before[name] * (1 - 2 * rate))


def test_what_is_there_is_not_joined_again() -> None:
    own, ours = layers()
    optimizer = SGD([*own.parameters(), *ours.parameters()], lr=0.1)
    join_parameters([optimizer], [*ours.parameters()], None)
    assert sizes(optimizer) == [4]
    partly = SGD([*own.parameters(), ours.weight], lr=0.1)
    join_parameters([partly], [*ours.parameters()], None)
    assert sizes(partly) == [4]


def test_the_chosen_optimizer_takes_them() -> None:
    own, ours = layers()
    both = [SGD([own.weight], lr=0.1), SGD([own.bias], lr=0.1)]
    join_parameters(both, [*ours.parameters()], 1)
    assert [sizes(optimizer) for optimizer in both] == [[1], [3]]


@pytest.mark.parametrize(
    ("make", "index", "message"),
    [
        (lambda own: [], None, "gives no optimizer, so that the criterion's 2 parameters"),
        (lambda own: [SGD([p], lr=0.1) for p in own.parameters()], None, "such as optimizer=0"),
        (lambda own: [SGD(own.parameters(), lr=0.1)], 1, "optimizer=1 is none of the 1"),
        (lambda own: [Adagrad(own.parameters())], None, r"give it self\.parameters\(\)"),
    ],
)
def test_an_optimizer_that_cannot_take_them_is_told(
    make: Callable[[nn.Module], list[Optimizer]], index: int | None, message: str
) -> None:
    own, ours = layers()
    with pytest.raises(ValueError, match=message):
        join_parameters(make(own), [*ours.parameters()], index)


def test_an_optimizer_that_has_learnt_takes_them_and_gives_them_back() -> None:
    """Some projects keep their optimizer from fit to fit."""
    own, ours = layers()
    optimizer = Adam(own.parameters())
    for _ in range(2):
        join_parameters([optimizer], [*ours.parameters()], None)
        assert sizes(optimizer) == [4]
        step(optimizer, own, ours)
        part_parameters([optimizer], [*ours.parameters()])
        assert sizes(optimizer) == [2]
        assert {id(p) for p in optimizer.state} == {id(p) for p in own.parameters()}


GROUPS: list[Callable[[nn.Module, nn.Module], Any]] = [
    lambda own, ours: [{"params": [*own.parameters(), *ours.parameters()]}],
    lambda own, ours: [{"params": [own.weight, *ours.parameters()]}, {"params": [own.bias]}],
    lambda own, ours: [{"params": [ours.weight, own.weight]}, {"params": [own.bias, ours.bias]}],
]


@pytest.mark.parametrize("make", [Adam, partial(SGD, lr=0.1, momentum=0.9)])
@pytest.mark.parametrize("groups", GROUPS)
def test_states_are_hidden_and_come_back(
    groups: Callable[[nn.Module, nn.Module], Any], make: Callable[..., Optimizer]
) -> None:
    own, ours = layers()
    optimizer = make(groups(own, ours))
    hidden = HiddenStates([optimizer], [*ours.parameters()])
    step(optimizer, own, ours)
    step(optimizer, own, ours)
    saved, kept = copy.deepcopy((optimizer.state_dict(), hidden.states()))
    assert [len(states) for states in kept] == [2]
    assert len(saved["state"]) == 2

    # It fits an optimizer of the other parameters alone.
    alone, _ = layers(1)
    its = {id(p) for p in own.parameters()}
    names = {id(p): name for name, p in own.named_parameters()}
    bare = make(
        [
            {"params": [getattr(alone, names[id(p)]) for p in group["params"] if id(p) in its]}
            for group in groups(own, ours)
        ]
    )
    bare.load_state_dict(copy.deepcopy(saved))

    # And, with what was kept, one like it was.
    fresh, ours_again = layers(1)
    fresh.load_state_dict(own.state_dict())
    ours_again.load_state_dict(ours.state_dict())
    again = make(groups(fresh, ours_again))
    before = copy.deepcopy(saved)
    hidden_again = HiddenStates([again], [*ours_again.parameters()])
    hidden_again.keep(kept)
    again.load_state_dict(saved)
    assert saved["param_groups"] == before["param_groups"]  # a checkpoint stays what it is
    step(optimizer, own, ours)
    step(again, fresh, ours_again)
    for a, b in ((own, fresh), (ours, ours_again)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_states_of_a_run_without_them_let_them_begin_anew() -> None:
    own, _ = layers()
    optimizer = Adam(own.parameters())
    step(optimizer, own)
    saved = copy.deepcopy(optimizer.state_dict())
    fresh, ours = layers(1)
    joined = Adam(fresh.parameters())
    join_parameters([joined], [*ours.parameters()], None)
    HiddenStates([joined], [*ours.parameters()])
    joined.load_state_dict(saved)
    assert float(joined.state[fresh.weight]["step"]) == 1
    assert ours.weight not in joined.state
    step(joined, fresh, ours)
    assert float(joined.state[fresh.weight]["step"]) == 2
    assert float(joined.state[ours.weight]["step"]) == 1


def test_nothing_is_hidden_any_more_once_they_are_taken_out() -> None:
    own, ours = layers()
    optimizer = Adam([*ours.parameters(), *own.parameters()])
    hidden = HiddenStates([optimizer], [*ours.parameters()])
    step(optimizer, own, ours)
    hidden.remove()
    state = optimizer.state_dict()
    assert sizes(optimizer) == [2]
    assert state["param_groups"][0]["params"] == [0, 1]
    optimizer.load_state_dict(state)


def test_states_of_another_optimizer_are_told_by_torch() -> None:
    own, ours = layers()
    optimizer = SGD([*own.parameters(), *ours.parameters()], lr=0.1)
    HiddenStates([optimizer], [*ours.parameters()])
    other = SGD([{"params": [own.weight]}, {"params": [own.bias]}], lr=0.1).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(other)
    smaller = SGD([own.weight], lr=0.1).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict(smaller)
