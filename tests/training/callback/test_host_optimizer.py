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
    AddedParameters,
    HostOptimizers,
    optimizers_of,
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


def test_optimizers_are_found_in_all_that_configure_optimizers_may_return() -> None:
    a, b = (SGD(layer.parameters(), lr=0.1) for layer in layers())
    scheduler = OneCycleLR(a, 0.1, total_steps=3)
    one = [a, [a], (a,), {"optimizer": a, "lr_scheduler": scheduler}, ([a], [scheduler])]
    for configured in one:
        assert optimizers_of(configured) == [a]
    both = [
        [a, b],
        ([a, b], [{"scheduler": scheduler}]),
        [{"optimizer": a}, {"optimizer": b}],
    ]
    for configured in both:
        assert optimizers_of(configured) == [a, b]
    assert optimizers_of(None) == []


def added(
    optimizers: Optimizer | list[Optimizer], head: nn.Module, index: int | None = None
) -> AddedParameters:
    optimizers = [optimizers] if isinstance(optimizers, Optimizer) else optimizers
    return AddedParameters(optimizers, [*head.parameters()], index)


def test_added_parameters_are_trained_and_a_scheduler_goes_on() -> None:
    student, head = layers()
    optimizer = SGD(student.parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, 0.1, total_steps=3)
    added(optimizer, head)
    before = copy.deepcopy(head.state_dict())
    rate = optimizer.param_groups[0]["lr"]
    step(optimizer, student, head)
    scheduler.step()
    for name, p in head.named_parameters():
        # The gradient of the sum of squares is twice the value.
        torch.testing.assert_close(p.detach(), before[name] * (1 - 2 * rate))


def test_parameters_that_an_optimizer_has_are_not_added_again() -> None:
    student, head = layers()
    optimizer = SGD([*student.parameters(), *head.parameters()], lr=0.1)
    added(optimizer, head)
    assert sizes(optimizer) == [4]
    partly = SGD([*student.parameters(), head.weight], lr=0.1)
    added(partly, head)
    assert sizes(partly) == [4]


def test_the_chosen_optimizer_gets_them() -> None:
    student, head = layers()
    both: list[Optimizer] = [SGD([student.weight], lr=0.1), SGD([student.bias], lr=0.1)]
    added(both, head, 1)
    assert [sizes(optimizer) for optimizer in both] == [[1], [3]]


@pytest.mark.parametrize(
    ("make", "index", "message"),
    [
        (lambda net: [], None, "returns no optimizer, so that the criterion's 2 parameters"),
        (lambda net: [SGD([p], lr=0.1) for p in net.parameters()], None, "such as optimizer=0"),
        (lambda net: [SGD(net.parameters(), lr=0.1)], 1, "optimizer=1, but .* returns 1"),
        (lambda net: [Adagrad(net.parameters())], None, r"give it self\.parameters\(\)"),
    ],
)
def test_an_optimizer_that_cannot_take_them_is_an_error(
    make: Callable[[nn.Module], list[Optimizer]], index: int | None, message: str
) -> None:
    student, head = layers()
    with pytest.raises(ValueError, match=message):
        added(make(student), head, index)


def test_an_optimizer_that_is_used_again_takes_them_again() -> None:
    """Some projects keep their optimizer from fit to fit."""
    student, head = layers()
    optimizer = Adam(student.parameters())
    for _ in range(2):
        parameters = added(optimizer, head)
        assert sizes(optimizer) == [4]
        step(optimizer, student, head)
        parameters.remove()
        assert sizes(optimizer) == [2]
        assert {id(p) for p in optimizer.state} == {id(p) for p in student.parameters()}
        state = optimizer.state_dict()
        assert state["param_groups"][0]["params"] == [0, 1]
        optimizer.load_state_dict(state)


GROUPS: list[Callable[[nn.Module, nn.Module], Any]] = [
    lambda net, head: [{"params": [*net.parameters(), *head.parameters()]}],
    lambda net, head: [{"params": [net.weight, *head.parameters()]}, {"params": [net.bias]}],
    lambda net, head: [{"params": [head.weight, net.weight]}, {"params": [net.bias, head.bias]}],
]


@pytest.mark.parametrize("make", [Adam, partial(SGD, lr=0.1, momentum=0.9)])
@pytest.mark.parametrize("groups", GROUPS)
def test_states_are_left_out_of_a_checkpoint_and_resumed_bitwise(
    groups: Callable[[nn.Module, nn.Module], Any], make: Callable[..., Optimizer]
) -> None:
    student, head = layers()
    optimizer = make(groups(student, head))
    parameters = added(optimizer, head)
    order = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    step(optimizer, student, head)
    step(optimizer, student, head)
    saved, states = copy.deepcopy((optimizer.state_dict(), parameters.states()))
    assert [[id(p) for p in group["params"]] for group in optimizer.param_groups] == order
    assert [len(states_of_one) for states_of_one in states] == [2]
    assert len(saved["state"]) == 2

    # It fits an optimizer of the other parameters alone.
    alone, _ = layers(1)
    names = {id(p): name for name, p in student.named_parameters()}
    bare = make(
        [
            {"params": [getattr(alone, names[id(p)]) for p in group["params"] if id(p) in names]}
            for group in groups(student, head)
        ]
    )
    bare.load_state_dict(copy.deepcopy(saved))

    # With the states an optimizer goes on as this one does.
    new_student, new_head = layers(1)
    new_student.load_state_dict(student.state_dict())
    new_head.load_state_dict(head.state_dict())
    again = make(groups(new_student, new_head))
    before = copy.deepcopy(saved)
    added(again, new_head).resume(states)
    again.load_state_dict(saved)
    assert saved["param_groups"] == before["param_groups"]  # the checkpoint is unchanged
    step(optimizer, student, head)
    step(again, new_student, new_head)
    for a, b in ((student, new_student), (head, new_head)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_a_checkpoint_without_them_lets_them_begin_anew() -> None:
    student, _ = layers()
    optimizer = Adam(student.parameters())
    step(optimizer, student)
    saved = copy.deepcopy(optimizer.state_dict())
    new_student, head = layers(1)
    joined = Adam(new_student.parameters())
    added(joined, head)
    step(joined, new_student, head)
    joined.load_state_dict(saved)
    assert float(joined.state[new_student.weight]["step"]) == 1
    assert head.weight not in joined.state
    step(joined, new_student, head)
    assert float(joined.state[new_student.weight]["step"]) == 2
    assert float(joined.state[head.weight]["step"]) == 1


def test_resumed_states_are_cast_to_the_parameters_dtype() -> None:
    student, head = layers()
    optimizer = Adam(student.parameters())
    parameters = added(optimizer, head)
    step(optimizer, student, head)
    saved, states = copy.deepcopy((optimizer.state_dict(), parameters.states()))
    new_student, new_head = (layer.double() for layer in layers())
    again = Adam(new_student.parameters())
    added(again, new_head).resume(states)
    again.load_state_dict(saved)
    for layer in (new_student, new_head):
        assert again.state[layer.weight]["exp_avg"].dtype == torch.float64
        assert again.state[layer.weight]["step"].dtype == torch.float32


def test_states_of_another_optimizer_are_torchs_error() -> None:
    student, head = layers()
    optimizer = SGD([*student.parameters(), *head.parameters()], lr=0.1)
    added(optimizer, head)
    other = SGD([{"params": [student.weight]}, {"params": [student.bias]}], lr=0.1).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(other)
    smaller = SGD([student.weight], lr=0.1).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict(smaller)


def test_states_of_a_fit_are_kept_after_it_and_forgotten_by_the_next() -> None:
    student, head = layers()
    optimizers = HostOptimizers(head, None)
    assert optimizers.states() == []
    optimizer = Adam(student.parameters())
    assert optimizers.configure(lambda: optimizer) is optimizer
    step(optimizer, student, head)
    during = optimizers.states()
    optimizers.remove()
    assert sizes(optimizer) == [2]
    assert [[float(state["step"]) for state in states] for states in during] == [[1, 1]]
    torch.testing.assert_close(optimizers.states(), during)
    optimizers.restart()
    assert optimizers.states() == []


@pytest.mark.parametrize("is_configured", [False, True])
def test_states_may_be_resumed_before_or_after_optimizers_are_configured(
    is_configured: bool,
) -> None:
    student, head = layers()
    optimizers, optimizer = HostOptimizers(head, None), Adam(student.parameters())
    saved = copy.deepcopy(optimizer.state_dict())
    states = [[{"step": torch.tensor(5.0)}, {}]]
    if is_configured:
        optimizers.configure(lambda: optimizer)
    optimizers.resume(states)
    if not is_configured:
        optimizers.configure(lambda: optimizer)
    optimizer.load_state_dict(saved)
    assert optimizers.states() == states


def test_optimizers_that_are_configured_again_get_the_parameters_once() -> None:
    student, head = layers()
    optimizers, optimizer = HostOptimizers(head, None), SGD(student.parameters(), lr=0.1)
    for _ in range(2):
        optimizers.configure(lambda: optimizer)
        assert sizes(optimizer) == [4]
