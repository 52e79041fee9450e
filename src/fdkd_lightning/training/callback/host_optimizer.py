"""Add parameters to existing optimizers; keep them out of their checkpoints.

Lightning's checkpoint hooks do not serve here. Lightning loads the optimizers' states after the
last ``on_load_checkpoint`` and calls no hook in between, while a state without the added parameters
does not fit optimizers that have them; and a tuner removes the callbacks before it loads. The hooks
of :class:`torch.optim.Optimizer` are called with every save and load.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

States = list[list[dict[str, Any]]]
"""Optimizer -> added parameter -> its state in that optimizer; {} before the first step."""


def optimizers_of(configured: Any) -> list[Optimizer]:
    """Return the optimizers in any value that ``configure_optimizers`` may return.

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


class AddedParameters:
    """Parameters that existing optimizers train too, and that their checkpoints do not contain.

    Parameters that no optimizer has yet join the first group of one of them. (A group of their own
    would break schedulers, which count the groups when they are made.) ``state_dict()`` and
    ``load_state_dict()`` of the optimizers then behave as if the parameters were not there.

    Args:
        optimizers: The optimizers of ``configure_optimizers``.
        parameters: The parameters to add.
        index: Which optimizer gets them; None: there is only one.

    Raises:
        ValueError: If there is no optimizer, ``index`` does not name one of several, or the
            optimizer takes no more parameters.

    Example:
        >>> import torch
        >>> student, head = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> sgd = torch.optim.SGD(student.parameters(), lr=0.1)
        >>> added = AddedParameters([sgd], [*head.parameters()])
        >>> len(sgd.param_groups[0]["params"]), sgd.state_dict()["param_groups"][0]["params"]
        (4, [0, 1])
        >>> added.remove()
        >>> len(sgd.param_groups[0]["params"])
        2
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        parameters: Sequence[nn.Parameter],
        index: int | None = None,
    ) -> None:
        self.optimizers = list(optimizers)
        self._ids = {id(p) for p in parameters}
        self._resumed: States = []
        self._groups: dict[Optimizer, list[list[nn.Parameter]]] = {}
        self._states: dict[Optimizer, dict[Tensor, dict[str, Any]]] = {}
        known = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
        missing = [p for p in parameters if id(p) not in known]
        if missing:
            optimizer = _choose(self.optimizers, index, len(missing))
            optimizer.param_groups[0]["params"].extend(missing)
        self._handles: list[RemovableHandle] = []
        for optimizer in self.optimizers:
            self._handles += [
                optimizer.register_state_dict_pre_hook(self._take_out),
                optimizer.register_state_dict_post_hook(self._put_back),
                optimizer.register_load_state_dict_pre_hook(self._take_out),
                optimizer.register_load_state_dict_post_hook(self._put_back_resumed),
            ]

    def states(self) -> States:
        """Return the states of the added parameters, in the order of each optimizer's groups."""
        return [
            [optimizer.state.get(p, {}) for p in self._added_to(optimizer)]
            for optimizer in self.optimizers
        ]

    def resume(self, states: States) -> None:
        """Load these states with the next ``load_state_dict`` of the optimizers."""
        self._resumed = states

    def remove(self) -> None:
        """Remove the parameters and their states from the optimizers, which may be used again."""
        for handle in self._handles:
            handle.remove()
        for optimizer in self.optimizers:
            self._take_out(optimizer)

    def _added_to(self, optimizer: Optimizer) -> list[nn.Parameter]:
        groups = optimizer.param_groups
        return [p for group in groups for p in group["params"] if id(p) in self._ids]

    def _take_out(self, optimizer: Optimizer, *_: Any) -> None:
        added = self._added_to(optimizer)
        self._states[optimizer] = {p: optimizer.state.pop(p) for p in added if p in optimizer.state}
        self._groups[optimizer] = [[*group["params"]] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            # In place: an optimizer such as LBFGS has a second reference to the list.
            group["params"][:] = [p for p in group["params"] if id(p) not in self._ids]

    def _put_back(self, optimizer: Optimizer, *_: Any) -> None:
        groups = self._groups.pop(optimizer)
        for group, parameters in zip(optimizer.param_groups, groups, strict=True):
            group["params"][:] = parameters
        optimizer.state.update(self._states.pop(optimizer))

    def _put_back_resumed(self, optimizer: Optimizer) -> None:
        self._states[optimizer] = {}
        self._put_back(optimizer)
        place = next(i for i, other in enumerate(self.optimizers) if other is optimizer)
        states = self._resumed[place] if place < len(self._resumed) else []
        for p, state in zip(self._added_to(optimizer), states, strict=False):
            if state:
                optimizer.state[p] = _cast(optimizer, p, state)


class HostOptimizers:
    """The optimizers of the wrapped LightningModule, which train the distiller's parameters too."""

    def __init__(self, distiller: nn.Module, index: int | None) -> None:
        self.distiller = distiller
        self.index = index
        self._added: AddedParameters | None = None
        # Before the optimizers exist those of a checkpoint, after fit those of that fit.
        self._states: States = []

    def restart(self) -> None:
        """Forget the states of an earlier fit."""
        self._states = []

    def configure(self, original: Callable[..., Any]) -> Any:
        """Call the original ``configure_optimizers`` and add the parameters to its optimizers."""
        configured = original()
        if self._added is not None:
            self._added.remove()
        parameters = [p for p in self.distiller.parameters() if p.requires_grad]
        self._added = AddedParameters(optimizers_of(configured), parameters, self.index)
        self._added.resume(self._states)
        return configured

    def states(self) -> States:
        """Return the states of the parameters, for a checkpoint."""
        return self._states if self._added is None else self._added.states()

    def resume(self, states: States) -> None:
        """Load these states with the next states of the optimizers."""
        self._states = states
        if self._added is not None:
            self._added.resume(states)

    def remove(self) -> None:
        """Remove the parameters; keep their states for a checkpoint that is saved after fit."""
        if self._added is not None:
            self._states = move_data_to_device(self._added.states(), torch.device("cpu"))
            self._added.remove()
            self._added = None


def _choose(optimizers: Sequence[Optimizer], index: int | None, count: int) -> Optimizer:
    if not optimizers:
        raise ValueError(
            "configure_optimizers returns no optimizer, so that the criterion's "
            f"{count} parameters would not be trained: return one"
        )
    if index is None and len(optimizers) > 1:
        raise ValueError(
            f"configure_optimizers returns {len(optimizers)} optimizers, and none has the "
            "criterion's parameters: name the one that trains the student, such as optimizer=0"
        )
    if index is not None and not 0 <= index < len(optimizers):
        raise ValueError(
            f"optimizer={index}, but configure_optimizers returns {len(optimizers)}: use 0 to "
            f"{len(optimizers) - 1}"
        )
    optimizer = optimizers[index or 0]
    if any(float(state.get("step", 1)) == 0 for state in optimizer.state.values()):
        raise ValueError(
            f"{type(optimizer).__name__} prepares its parameters when it is made, and takes no "
            "more: let configure_optimizers give it self.parameters(), which has the criterion's"
        )
    return optimizer


def _cast(optimizer: Optimizer, parameter: nn.Parameter, state: dict[str, Any]) -> dict[str, Any]:
    """Cast a state to its parameter's device and dtype, as ``load_state_dict`` does."""
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    settings = {name: value for name, value in group.items() if name != "param_names"}
    single = Optimizer([settings | {"params": [parameter]}], {})
    single.load_state_dict({"state": {0: state}, "param_groups": [settings | {"params": [0]}]})
    result: dict[str, Any] = single.state[parameter]
    return result
