"""Bringing more parameters into optimizers that somebody else has made, and out of their files."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

States = list[list[dict[str, Any]]]
"""Per optimizer and parameter the optimizer's state of it; {} where there is none yet."""


def optimizers_of(configured: Any) -> list[Optimizer]:
    """The optimizers in what ``configure_optimizers`` may return.

    Example:
        >>> import torch
        >>> adam = torch.optim.Adam(nn.Linear(2, 1).parameters())
        >>> [optimizers_of(x) == [adam] for x in (adam, [adam], {"optimizer": adam}, ([adam], []))]
        [True, True, True, True]
    """
    if isinstance(configured, Optimizer):
        return [configured]
    if isinstance(configured, Mapping):
        return optimizers_of(configured.get("optimizer"))
    if isinstance(configured, Sequence):
        return [optimizer for part in configured for optimizer in optimizers_of(part)]
    return []


def join_parameters(
    optimizers: Sequence[Optimizer], parameters: Sequence[nn.Parameter], index: int | None
) -> None:
    """Let an optimizer train these too, in its first group, as far as none does yet.

    The group, rather than a new one: schedulers count the groups when they are made.

    Args:
        optimizers: Those of ``configure_optimizers``.
        parameters: What is to be trained.
        index: Which optimizer is to take them; None: there is but one.

    Raises:
        ValueError: If it cannot be told which is meant, or it cannot take more.
    """
    there = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    missing = [p for p in parameters if id(p) not in there]
    if not missing:
        return
    if not optimizers:
        raise ValueError(
            "configure_optimizers gives no optimizer, so that the criterion's "
            f"{len(missing)} parameters would not be trained: return one"
        )
    if index is None and len(optimizers) > 1:
        raise ValueError(
            f"configure_optimizers gives {len(optimizers)} optimizers, and none has the "
            "criterion's parameters: say which is to train them, the student's, such as "
            "optimizer=0"
        )
    if index is not None and not 0 <= index < len(optimizers):
        raise ValueError(
            f"optimizer={index} is none of the {len(optimizers)} of configure_optimizers: "
            f"0 to {len(optimizers) - 1}"
        )
    optimizer = optimizers[index or 0]
    if any(float(state.get("step", 1)) == 0 for state in optimizer.state.values()):
        raise ValueError(
            f"{type(optimizer).__name__} prepares its parameters when it is made, and takes no "
            "more: let configure_optimizers give it self.parameters(), which has the criterion's"
        )
    optimizer.param_groups[0]["params"].extend(missing)


def part_parameters(optimizers: Sequence[Optimizer], parameters: Sequence[nn.Parameter]) -> None:
    """Take these out of optimizers again, which may serve another time.

    Example:
        >>> import torch
        >>> own, ours = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> sgd = torch.optim.SGD(own.parameters(), lr=0.1)
        >>> join_parameters([sgd], [*ours.parameters()], None)
        >>> len(sgd.param_groups[0]["params"])
        4
        >>> part_parameters([sgd], [*ours.parameters()])
        >>> len(sgd.param_groups[0]["params"])
        2
    """
    ours = {id(p) for p in parameters}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"][:] = [p for p in group["params"] if id(p) not in ours]
        for p in parameters:
            optimizer.state.pop(p, None)


class HiddenStates:
    """The states of parameters that optimizers train, but whose files do not show them.

    ``state_dict()`` of the optimizers is then as if they did not have these parameters, and
    ``load_state_dict()`` takes such states, whoever calls them.

    Args:
        optimizers: Those that have the parameters.
        parameters: What is hidden.

    Example:
        >>> import torch
        >>> own, ours = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> sgd = torch.optim.SGD([*own.parameters(), *ours.parameters()], lr=0.1)
        >>> hidden = HiddenStates([sgd], [*ours.parameters()])
        >>> sgd.state_dict()["param_groups"][0]["params"]
        [0, 1]
        >>> len(sgd.param_groups[0]["params"])
        4
        >>> hidden.remove()
        >>> len(sgd.param_groups[0]["params"])
        2
    """

    def __init__(self, optimizers: Sequence[Optimizer], parameters: Sequence[nn.Parameter]) -> None:
        self.optimizers = list(optimizers)
        self.parameters = list(parameters)
        self._ours = {id(p) for p in parameters}
        self._kept: States = []
        self._handles: list[RemovableHandle] = []
        for optimizer in self.optimizers:
            self._handles += [
                optimizer.register_state_dict_post_hook(self._hide),
                optimizer.register_load_state_dict_pre_hook(self._show),
            ]

    def states(self) -> States:
        """The hidden states, per optimizer and parameter in the order of its groups."""
        return [
            [optimizer.state.get(p, {}) for p in self._hidden(optimizer)]
            for optimizer in self.optimizers
        ]

    def keep(self, states: States) -> None:
        """Take these up with the states that are loaded next; empty ones begin anew."""
        self._kept = states

    def remove(self) -> None:
        """Take the parameters out of the optimizers, which may serve another time."""
        for handle in self._handles:
            handle.remove()
        part_parameters(self.optimizers, self.parameters)

    def _hidden(self, optimizer: Optimizer) -> list[nn.Parameter]:
        groups = optimizer.param_groups
        return [p for group in groups for p in group["params"] if id(p) in self._ours]

    def _hide(self, optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
        groups, gone = [], set()
        for group, packed in zip(optimizer.param_groups, saved["param_groups"], strict=True):
            pairs = [*zip(group["params"], packed["params"], strict=True)]
            gone |= {number for p, number in pairs if id(p) in self._ours}
            groups.append(packed | {"params": [n for _, n in pairs if n not in gone]})
        state = {number: x for number, x in saved["state"].items() if number not in gone}
        return saved | {"state": state, "param_groups": groups}

    def _show(self, optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
        place = next(i for i, own in enumerate(self.optimizers) if own is optimizer)
        kept = iter(self._kept[place] if place < len(self._kept) else [])
        state, groups = dict(saved["state"]), []
        numbers = [n for packed in saved["param_groups"] for n in packed["params"]]
        free = max(numbers, default=-1) + 1
        # Where the states are not of this optimizer, loading them says so.
        for group, packed in zip(optimizer.param_groups, saved["param_groups"], strict=False):
            own, params = iter(packed["params"]), []
            for p in group["params"]:
                if id(p) not in self._ours:
                    params += [number for number in [next(own, None)] if number is not None]
                    continue
                params.append(free)
                hidden = next(kept, {})
                if hidden:
                    state[free] = hidden
                free += 1
            groups.append(packed | {"params": [*params, *own]})
        groups += saved["param_groups"][len(groups) :]
        return saved | {"state": state, "param_groups": groups}
