"""A LightningModule of somebody else's while it is taught: what is changed in it, and put back."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning_utilities.core.overrides import is_overridden
from torch import nn

from fdkd_lightning.models.layer_reader import LayerReader
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.types import Output

PARTS = "fdkd_parts"
"""The name under which what is trained beside the student is part of the host while it trains."""


class Host:
    """Methods of one LightningModule replaced, its layers read, and parts added to it.

    :meth:`leave` undoes all of it.

    Args:
        module: The host.

    Raises:
        ValueError: If it is host to another already.

    Example:
        >>> module = LightningModule()
        >>> host = Host(module)
        >>> host.add(nn.Linear(2, 2))
        >>> len(list(module.parameters())), len(module.state_dict())
        (2, 0)
        >>> host.leave()
        >>> list(module.parameters())
        []
    """

    def __init__(self, module: LightningModule) -> None:
        if any(isinstance(own, _Replacement) for own in module.__dict__.values()):
            raise ValueError(
                f"{type(module).__name__} is taught by another DistillationCallback: give one of "
                "them all teachers, and several criteria as a CompositeLoss"
            )
        self.module = module
        self._reader: LayerReader | None = None
        self._replaced: dict[str, Any] = {}

    @property
    def is_read(self) -> bool:
        """Whether its layers are read."""
        return self._reader is not None

    @property
    def reader(self) -> LayerReader:
        """Its layers while it runs."""
        assert self._reader is not None
        return self._reader

    def last_of_setup(self) -> str:
        """The hook after which it has all its layers."""
        # Of the package lightning or of pytorch_lightning, which has the same under another name.
        base = next(x for x in type(self.module).__mro__ if x.__name__ == "LightningModule")
        own = is_overridden("configure_model", self.module, base)
        return "configure_model" if own else "setup"

    def read(self, layers: Layers) -> None:
        """Read these layers from now on."""
        if _compiled(self.module):
            # What is compiled already would never call a new hook.
            torch.compiler.reset()
        self._reader = LayerReader(self.module, layers, returns_logits=False)

    def follow(self) -> None:
        """Read layers that were replaced by others of their name since, as for SyncBatchNorm."""
        self.reader.follow(self.module)

    def as_model(self) -> nn.Module:
        """Its forward as a network that returns an Output."""
        return _Network(self.module, self.reader)

    def add(self, parts: nn.Module) -> None:
        """Let it move and optimise these, and have them in none of its files."""
        self.module.add_module(PARTS, _Parts(parts))

    def replace(self, name: str, by: Callable[..., Any]) -> None:
        """Let ``by`` be called in place of a method, with the method as its first argument."""
        self._replaced[name] = self.module.__dict__.get(name)
        own = getattr(self.module, name)
        # Lightning looks at the signature, and at whether the method is the module's own.
        setattr(self.module, name, functools.wraps(own)(_Replacement(own, by)))

    def leave(self) -> None:
        """Put everything back."""
        for name, own in self._replaced.items():
            if own is None:
                delattr(self.module, name)
            else:
                setattr(self.module, name, own)
        self._replaced = {}
        if self._reader is not None:
            self._reader.remove()
            self._reader = None
        if PARTS in self.module._modules:
            delattr(self.module, PARTS)


def check_strategy(trainer: Trainer) -> None:
    """Raise unless every process has the whole host, with the gradients of all."""
    strategy = type(trainer.strategy)
    # By their names, which are those of both packages.
    kinds = {kind.__name__ for kind in strategy.__mro__}
    whole = kinds & {"SingleDeviceStrategy", "DDPStrategy"} and "DeepSpeedStrategy" not in kinds
    if not whole:
        raise ValueError(
            f"{strategy.__name__} splits the module, and would leave out the parts that "
            "DistillationCallback adds to it: use Trainer(strategy='ddp'), or one device"
        )


def check_averaging(trainer: Trainer, module: LightningModule) -> None:
    """Raise if a copy of the host, made before it got its parts, would be matched with it."""
    if next(module.buffers(), None) is None:
        return
    for other in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector
        averages = any(kind.__name__ == "WeightAveraging" for kind in type(other).__mro__)
        if averages and getattr(other, "_use_buffers", True):
            raise ValueError(
                f"{type(other).__name__} averages the buffers of a module that it copied before "
                "DistillationCallback added parts to it, and would mix them up: give it "
                "use_buffers=False, or use StochasticWeightAveraging"
            )


class _Replacement:
    """What is called in place of a method, on the host alone: a copy of it has its own method."""

    def __init__(self, own: Callable[..., Any], by: Callable[..., Any]) -> None:
        self.own = own
        self.by = by

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.by(self.own, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # Not of what teaches: the callback, its teachers and the trainer.
        return copy.deepcopy(self.own, memo)


class _Parts(nn.Module):
    """Parts that ``state_dict`` does not show, and ``load_state_dict`` does not miss."""

    def __init__(self, parts: nn.Module) -> None:
        super().__init__()
        self.parts = parts
        self.register_load_state_dict_post_hook(_not_missing)  # type: ignore[no-untyped-call]  # torch's

    def state_dict(self, *args: Any, destination: Any = None, **kwargs: Any) -> Any:
        """Nothing."""
        return {} if destination is None else destination


def _not_missing(parts: nn.Module, keys: Any) -> None:
    own = f"{PARTS}."
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.startswith(own)]


class _Network(nn.Module):
    """A host and its reader as a network."""

    def __init__(self, host: nn.Module, reader: LayerReader) -> None:
        super().__init__()
        self.host = host
        self.reader = reader

    def forward(self, x: Any) -> Output:
        with self.reader.reading():
            self.host(*x) if isinstance(x, tuple) else self.host(x)
        return self.reader.take()


def _compiled(module: LightningModule) -> bool:
    return module._compiler_ctx is not None or any(
        isinstance(part, torch._dynamo.OptimizedModule) or part._compiled_call_impl is not None
        for part in module.modules()
    )
