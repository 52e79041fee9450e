"""A limit on the size of a network that is built from somebody else's description."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FLOOR, FACTOR = 2**26, 2
"""Numbers that any network may hold (256 MiB); how many times more than its file."""
FEW, PER_TENSOR = 2000, 20
"""Modules and tensors that any network may have; how many more for each tensor in its file."""


class BuildLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate its __init_subclass__
    """Refuse tensors and networks that are much larger than the weights they are built for.

    Each operation is first run on the meta device, which allocates nothing, for its output's size.

    Raises:
        ValueError: Within the context, if a tensor or the network exceeds the limit.

    Example:
        >>> import torch
        >>> weights = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
        >>> with BuildLimit(weights):
        ...     net = nn.Linear(2, 3)
        >>> with BuildLimit(weights):
        ...     nn.Linear(10**6, 10**6)
        Traceback (most recent call last):
        ValueError: it has more than 67,108,864 numbers, and its weights file has 9
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.elements = sum(weight.numel() for weight in weights.values())
        self.limit = max(FACTOR * self.elements, FLOOR)
        self.parts = FEW + PER_TENSOR * len(weights)
        self._total = self._parts = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> "BuildLimit":
        """Begin to count."""
        self._hooks = [
            registration.register_module_parameter_registration_hook(self._count_tensor),
            registration.register_module_buffer_registration_hook(self._count_tensor),
            registration.register_module_module_registration_hook(self._count_module),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop counting."""
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]  # torch does not annotate it
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation if its output is small enough."""
        kwargs = dict(kwargs or {})
        if not func._schema.is_mutable:
            self._check(max(map(_numel, tree_leaves(_on_meta(func, args, kwargs))), default=0))
        return func(*args, **kwargs)

    def _count_tensor(self, module: nn.Module, name: str, tensor: Any) -> None:
        self._count_module(module, name, tensor)
        if isinstance(tensor, Tensor) and not nn.parameter.is_lazy(tensor):
            self._total += tensor.numel()
            self._check(self._total)

    def _count_module(self, module: nn.Module, name: str, part: Any) -> None:
        self._parts += 1
        if self._parts > self.parts:
            raise ValueError(f"it has more than {self.parts:,} modules and tensors")

    def _check(self, numbers: int) -> None:
        if numbers > self.limit:
            raise ValueError(
                f"it has more than {self.limit:,} numbers, and its weights file has "
                f"{self.elements:,}"
            )


def _on_meta(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The operation's output without its values; None: the meta device does not have it."""
    takes = {argument.name for argument in func._schema.arguments}
    given = any(isinstance(leaf, Tensor) for leaf in tree_leaves((args, dict(kwargs))))
    if not given and "device" not in takes:
        return None
    args, options = tree_map(_to_meta, (tuple(args), dict(kwargs)))
    if "device" in takes:
        options["device"] = "meta"
    try:
        return func(*args, **options)
    except RuntimeError:  # the output's size depends on values, or the operation has no meta form
        return None


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _numel(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else 0
