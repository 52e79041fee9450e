"""The LightningModule that DistillationCallback wraps: what is changed in it, and put back."""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning_utilities.core.overrides import is_overridden
from torch import nn

from fdkd_lightning.models.layer_reader import LayerReader
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.averaging import copies
from fdkd_lightning.training.probe import probe
from fdkd_lightning.types import Output

PARTS = "fdkd_parts"
"""Name of the distiller as a submodule of the wrapped LightningModule, during fit."""


class Host:
    """The wrapped LightningModule: methods replaced, layers read and a submodule added.

    :meth:`restore` undoes all of it.

    Example:
        >>> module = LightningModule()
        >>> host = Host(module)
        >>> host.add(nn.Linear(2, 2))
        >>> len(list(module.parameters())), len(module.state_dict())
        (2, 0)
        >>> host.restore()
        >>> list(module.parameters())
        []
    """

    def __init__(self, module: LightningModule) -> None:
        if any(isinstance(method, _Replacement) for method in module.__dict__.values()):
            raise ValueError(
                f"another DistillationCallback is training {type(module).__name__}: give one of "
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
        """The reader of its layers."""
        assert self._reader is not None
        return self._reader

    @property
    def features_layer(self) -> str:
        """Name of the layer that gives the features."""
        return self.reader.features.spot.name

    def last_setup_hook(self) -> str:
        """Return the hook after which it has all its layers."""
        # The base class of the package lightning or pytorch_lightning: two classes of one name.
        base = next(x for x in type(self.module).__mro__ if x.__name__ == "LightningModule")
        overridden = is_overridden("configure_model", self.module, base)
        return "configure_model" if overridden else "setup"

    def read(self, layers: Layers) -> None:
        """Read the outputs of these layers from now on."""
        if _is_compiled(self.module):
            # Code that was compiled without the reader's hooks would not call them.
            torch.compiler.reset()
        self._reader = LayerReader(self.module, layers, returns_logits=False)

    def follow(self) -> None:
        """Read the layers that replaced others of the same name, as SyncBatchNorm does."""
        self.reader.follow(self.module)

    def probe(self, x: Any) -> Output:
        """Return features and logits for an input of its ``forward``; a tuple is several arguments.

        Raises:
            ValueError: If its ``forward`` does not take the input, or there is none.
        """
        name = type(self.module).__name__
        try:
            inspect.signature(self.module.forward).bind(*_arguments(x))
        except TypeError as error:
            raise ValueError(
                f"{name}.forward does not take student_input ({error}): let it give all "
                "arguments, as a tuple"
            ) from error
        try:
            return probe(_Network(self.module, self.reader), x)
        except NotImplementedError as error:  # of nn.Module, which has no forward
            raise ValueError(
                f"{name} has no forward that takes student_input: leave it out, and give the sizes "
                "of the criterion's parts, such as SharedAlignmentHead(512, 10)"
            ) from error

    def add(self, parts: nn.Module) -> None:
        """Add a submodule that is moved and optimised with it, but not in its ``state_dict``."""
        self.module.add_module(PARTS, DistillationParts(parts))

    def averaged_parts(self) -> list[nn.Module]:
        """Return the added submodule in each copy that a callback averages."""
        return [copy.get_submodule(f"{PARTS}.parts") for copy in self._copies()]

    def replace(self, name: str, by: Callable[..., Any]) -> None:
        """Replace a method by a function that gets the original as its first argument."""
        self._replaced[name] = self.module.__dict__.get(name)
        original = getattr(self.module, name)
        # Lightning inspects the signature, and whether the method is the module's own.
        replacement = functools.wraps(original)(_Replacement(original, by))
        setattr(self.module, name, replacement)

    def restore(self) -> None:
        """Undo all changes."""
        for name, original in self._replaced.items():
            if original is None:
                delattr(self.module, name)
            else:
                setattr(self.module, name, original)
        self._replaced = {}
        if self._reader is not None:
            self._reader.remove()
            self._reader = None
        if PARTS in self.module._modules:
            for module in [*self._copies(), self.module]:
                delattr(module, PARTS)

    def _copies(self) -> list[nn.Module]:
        """Return the copies with added parts in which callbacks average weights."""
        trainer = self.module._trainer
        found = () if trainer is None else copies(trainer)
        return [copy for copy in found if PARTS in copy._modules]


class _Replacement:
    """A function in place of a method; a copy of the module gets the method."""

    def __init__(self, original: Callable[..., Any], by: Callable[..., Any]) -> None:
        self.original = original
        self.by = by

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.by(self.original, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # Without the callback, its teachers and the trainer, to which the function refers.
        return copy.deepcopy(self.original, memo)


class DistillationParts(nn.Module):
    """Parts that ``state_dict`` leaves out, and that ``load_state_dict`` does not expect."""

    def __init__(self, parts: nn.Module) -> None:
        super().__init__()
        self.parts = parts
        self.register_load_state_dict_post_hook(_not_missing)  # type: ignore[no-untyped-call]  # torch does not annotate it

    def state_dict(self, *args: Any, destination: Any = None, **kwargs: Any) -> Any:
        """Add nothing to the destination."""
        return {} if destination is None else destination


def _not_missing(parts: nn.Module, keys: Any) -> None:
    # Also in a copy of the module that is a part of another, as in a weight average.
    keys.missing_keys[:] = [key for key in keys.missing_keys if PARTS not in key.split(".")]


class _Network(nn.Module):
    """The wrapped LightningModule as a network that returns an Output."""

    def __init__(self, module: nn.Module, reader: LayerReader) -> None:
        super().__init__()
        self.module = module
        self.reader = reader

    def forward(self, x: Any) -> Output:
        with self.reader.reading():
            self.module(*_arguments(x))
        return self.reader.take()


def _arguments(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _is_compiled(module: LightningModule) -> bool:
    return module._compiler_ctx is not None or any(
        isinstance(part, torch._dynamo.OptimizedModule) or part._compiled_call_impl is not None
        for part in module.modules()
    )
