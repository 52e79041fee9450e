"""Networks whose weights are read once, before they train or evaluate."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fdkd_lightning.files.checkpoint_file import load_checkpoint
from fdkd_lightning.models.weight_checks import check_weights
from fdkd_lightning.ops.tensor_checks import check_module
from fdkd_lightning.types import Output

FETCH_ONCE = (
    "run once where the hub can be reached, which fills its cache (HF_HOME); or set pretrained: "
    "false; or read a checkpoint of your own with PretrainedModel"
)
"""Remedies where published weights cannot be read."""


def _noting(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let a model's ``load`` note that its weights are there."""

    @functools.wraps(load)
    def noting(model: "DeferredModel") -> None:
        load(model)
        model.has_weights = True

    return noting


class DeferredModel(nn.Module, ABC):
    """Base class of networks whose weights are read by :meth:`load`.

    The modules of this package call :meth:`load` once, before the network trains or evaluates,
    unless it has its weights already: from an earlier call, or from ``load_state_dict`` with all of
    them, as of a checkpoint. ``load_state_dict`` with some of them reads the others first.
    """

    has_weights = False
    """Whether the weights are there, so that :func:`load_pretrained` must not read them."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "load" in vars(cls):
            cls.load = _noting(cls.load)  # type: ignore[assignment, method-assign]  # mypy takes methods for constants; a subclass's load is wrapped where it is defined

    @abstractmethod
    def load(self) -> None:
        """Read the weights, including those of submodules, whether or not they are there."""

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any
    ) -> None:
        """Note that the weights are there; torch calls it for each part of a network.

        It is torch's documented place for what a module does when its state is loaded.
        """
        expected = {prefix + name: value for name, value in self.state_dict().items()}
        given = [name for name in expected if name in state_dict]
        if given and all(_fits(state_dict[name], expected[name]) for name in given):
            if len(given) < len(expected) and not self.has_weights:
                self.load()
            self.has_weights = True
        super()._load_from_state_dict(state_dict, prefix, *args)

    def self_contained(self) -> dict[str, Any]:
        """Return the constructor arguments to replace so that no file is needed to build it."""
        return {}

    @classmethod
    def looked_up_by(cls, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """Name the argument that another package would look up on a hub or in a folder.

        Args:
            arguments: Arguments of the constructor, as a configuration gives them.

        Returns:
            The argument and the package; None: the network is built without such a look-up.
        """
        return None


class PretrainedModel(DeferredModel):
    """A model with the weights of a checkpoint.

    The file is read by :meth:`load`, which the modules call once, before the model trains or
    evaluates, unless a checkpoint of theirs has brought its weights; so testing or exporting a
    distilled student needs no teacher file. Only weights are unpickled
    (``weights_only=True``): a checkpoint cannot run code. Published weights that the model itself
    would download are not read, since the checkpoint replaces them.

    Args:
        model: A network that returns :class:`~fdkd_lightning.types.Output`.
        checkpoint: A checkpoint of ``UnimodalModule`` or ``DistillationModule`` (the trained
            network is used), a plain state dict of the model, or any Lightning checkpoint.
        prefix: Use the weights below this name instead: ``teachers.audio`` of a
            ``DistillationModule`` that trains its teachers, or ``backbone`` of another
            LightningModule.

    Shape:
        - input, output: those of the model

    Raises:
        FileNotFoundError: By :meth:`load`, if the file does not exist.
        ValueError: By :meth:`load`, if the file is damaged or not a checkpoint, holds pickled code,
            has no weights below the prefix, or its weights do not fit the model: names, shapes,
            integers where floats were, NaN.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teacher = PretrainedModel(ResNet(10), "runs/teacher/checkpoints/best.ckpt")
        >>> foreign = PretrainedModel(ResNet(10), "theirs/last.ckpt", prefix="backbone")
    """

    def __init__(self, model: nn.Module, checkpoint: str | Path, prefix: str | None = None) -> None:
        super().__init__()
        check_module("model", model)
        if not isinstance(checkpoint, str | PathLike):
            raise TypeError(f"checkpoint={checkpoint!r} must be the path of a file")
        if not isinstance(prefix, str | None):
            raise TypeError(f"prefix={prefix!r} must be a text, such as 'model.', or None")
        self.model = model
        self.checkpoint = Path(checkpoint)
        self.prefix = prefix
        self.class_names: tuple[str, ...] = ()
        """Names of the classes it was trained on, once loaded; empty if the file names none."""

    def load(self) -> None:
        """Read the weights into the model; all of them must fit."""
        content = _read(self.checkpoint)
        stored = _weights_of(self.checkpoint, content)
        self.class_names = tuple(content.get("class_names", ())) if "state_dict" in content else ()
        expected = self.model.state_dict()
        found = [stored if self.prefix is None else below(self.prefix, stored)]
        if not found[0]:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} holds nothing below prefix={self.prefix!r}: "
                f"{_prefixes(stored, expected)}"
            )
        # The modules store the network below "model", and below "model.model" if it was a
        # PretrainedModel itself.
        while nested := below("model", found[-1]):
            found.append(nested)
        weights = max(found, key=lambda weights: len(weights.keys() & expected.keys()))
        source, hint = f"checkpoint={str(self.checkpoint)!r}", _prefixes(stored, expected)
        check_weights(source, weights, expected, hint=hint, checkpoint=self.checkpoint)
        self.model.load_state_dict(weights)

    def forward(self, *args: Any, **kwargs: Any) -> Output:
        """Return the model's output."""
        output: Output = self.model(*args, **kwargs)
        return output


def load_pretrained(module: nn.Module) -> None:
    """Call ``load()`` of every outermost :class:`DeferredModel` that has no weights yet."""
    if isinstance(module, DeferredModel):
        # Its checkpoint also holds the weights of DeferredModels inside it.
        if not module.has_weights:
            module.load()
            module.has_weights = True
        return
    for part in module.children():
        load_pretrained(part)


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the state dict in a file, plain or inside a Lightning checkpoint."""
    return _weights_of(checkpoint, _read(checkpoint))


def _read(checkpoint: Path) -> Any:
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"checkpoint={str(checkpoint)!r} is not a file (looked from {str(Path.cwd())!r}): "
            "train that model first, or give the path of its .ckpt"
        )
    return load_checkpoint(checkpoint, f"checkpoint={str(checkpoint)!r}")


def _weights_of(checkpoint: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} holds {type(content).__name__}, not a state dict "
            "of names and tensors: save `model.state_dict()`"
        )
    return content


def _fits(value: Any, expected: Any) -> bool:
    return is_lazy(expected) or getattr(value, "shape", ()) == getattr(expected, "shape", ())


def below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights below a prefix, with the prefix removed from their names.

    Example:
        >>> import torch
        >>> below("teachers.audio", {"teachers.audio.fc.bias": torch.zeros(1)})
        {'fc.bias': tensor([0.])}
    """
    start = prefix.removesuffix(".") + "."
    return {name.removeprefix(start): w for name, w in weights.items() if name.startswith(start)}


def _prefixes(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Describe the prefixes below which the file may hold the model's weights."""
    name = next(iter(expected), "")
    starts = {key.removesuffix(f".{name}") for key in stored if key.endswith(f".{name}")}
    fitting = [x for x in sorted(starts) if below(x, stored).keys() == expected.keys()]
    if fitting:
        return "the model's weights are found with " + " or ".join(f"prefix={x!r}" for x in fitting)
    parts = dict.fromkeys(key.partition(".")[0] for key in stored)
    first, more = list(parts)[:5], len(parts) - 5
    return f"the names in the file begin with {', '.join(first)}{', ...' if more > 0 else ''}"
