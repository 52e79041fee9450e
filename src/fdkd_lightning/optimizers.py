"""Bringing more parameters into optimizers that somebody else has made, and out of their files."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

States = list[list[dict[str, Any]]]
"""Per optimizer and parameter: its group, its place in it, and the optimizer's state of it."""


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


def take_states(
    optimizers: Sequence[Optimizer],
    states: Sequence[dict[str, Any]],
    parameters: Sequence[nn.Parameter],
) -> States:
    """Take these parameters out of optimizers' saved states, which are then as without them.

    Args:
        optimizers: The optimizers.
        states: Their ``state_dict()``, changed in place.
        parameters: What is to be taken out.
    """
    ours = {id(p) for p in parameters}
    taken: States = []
    for optimizer, saved in zip(optimizers, states, strict=True):
        taken.append([])
        for i, (group, packed) in enumerate(
            zip(optimizer.param_groups, saved["param_groups"], strict=True)
        ):
            kept = []
            for place, (p, number) in enumerate(
                zip(group["params"], packed["params"], strict=True)
            ):
                if id(p) in ours:
                    state = saved["state"].pop(number, None)
                    taken[-1].append({"group": i, "place": place, "state": state})
                else:
                    kept.append(number)
            packed["params"] = kept
    return taken


def put_states(
    optimizers: Sequence[Optimizer],
    states: Sequence[dict[str, Any]],
    parameters: Sequence[nn.Parameter],
    taken: States | None,
) -> None:
    """Put back what :func:`take_states` took; without it, let the parameters begin anew.

    Args:
        optimizers: The optimizers, which have the parameters.
        states: Saved states without these parameters, changed in place.
        parameters: The parameters.
        taken: What was taken; None: the states are of a run that did not have them.
    """
    ours = {id(p) for p in parameters}
    # Where they are not of these optimizers, loading them says so.
    for i, (optimizer, saved) in enumerate(zip(optimizers, states, strict=False)):
        found = {(x["group"], x["place"]): x["state"] for x in taken[i]} if taken else {}
        numbers = [n for packed in saved["param_groups"] for n in packed["params"]]
        free = max(numbers, default=-1) + 1
        for j, (group, packed) in enumerate(
            zip(optimizer.param_groups, saved["param_groups"], strict=False)
        ):
            for place, p in enumerate(group["params"]):
                if id(p) not in ours:
                    continue
                packed["params"].insert(place, free)
                state = found.get((j, place))
                if state is not None:
                    saved["state"][free] = state
                free += 1
