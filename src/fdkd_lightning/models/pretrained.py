"""Networks whose weights are read when training begins."""

import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.models.weight_checks import check_weights
from fdkd_lightning.types import Output


class DeferredModel(nn.Module, ABC):
    """Base class of networks whose weights are read by :meth:`load` when fit begins."""

    @abstractmethod
    def load(self) -> None:
        """Read the weights, including those of submodules."""

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

    The file is read by :meth:`load`, which the modules call when fit begins, so that testing or
    exporting a distilled student needs no teacher file. Only weights are unpickled
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
        ValueError: By :meth:`load`, if the file is not a checkpoint, holds pickled code, has no
            weights below the prefix, or its weights do not fit the model: names, shapes, integers
            where floats were, NaN.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teacher = PretrainedModel(ResNet(10), "runs/teacher/checkpoints/best.ckpt")
        >>> foreign = PretrainedModel(ResNet(10), "theirs/last.ckpt", prefix="backbone")
    """

    def __init__(self, model: nn.Module, checkpoint: str | Path, prefix: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.checkpoint = Path(checkpoint)
        self.prefix = prefix

    def load(self) -> None:
        """Read the weights into the model; all of them must fit."""
        stored = read_weights(self.checkpoint)
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
        check_weights(source, weights, expected, hint=hint)
        self.model.load_state_dict(weights)

    def forward(self, *args: Any, **kwargs: Any) -> Output:
        """Return the model's output."""
        output: Output = self.model(*args, **kwargs)
        return output


def load_pretrained(module: nn.Module) -> None:
    """Call ``load()`` of every outermost :class:`DeferredModel` in a module.

    Args:
        module: A network, or a module that contains networks.
    """
    if isinstance(module, DeferredModel):
        # Its checkpoint also holds the weights of DeferredModels inside it.
        module.load()
        return
    for part in module.children():
        load_pretrained(part)


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the state dict in a file, plain or inside a Lightning checkpoint.

    Args:
        checkpoint: Path of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a checkpoint, or holds pickled code.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"checkpoint={str(checkpoint)!r} is not a file (looked from {str(Path.cwd())!r}): "
            "train that model first, or give the path of its .ckpt"
        )
    try:
        _check_zip(checkpoint)
        content: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise errors of any type
        # The pickle opcode that names a class or function.
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is not None:
            raise ValueError(
                f"checkpoint={str(checkpoint)!r} holds pickled code besides weights "
                f"({code[1]}), which is never run: save `model.state_dict()` instead of the model, "
                "and plain numbers and strings as hyper-parameters. If you trust where the file "
                "comes from, take its weights out once: torch.save(torch.load(path, "
                "weights_only=False)['state_dict'], 'weights.pt')"
            ) from error
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} is not a checkpoint, or a damaged one: "
            "it must be written by torch.save or by Lightning"
        ) from error
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


def _check_zip(checkpoint: Path) -> None:
    """Compare the checksums of the file's parts, which torch does not."""
    if zipfile.is_zipfile(checkpoint):
        with zipfile.ZipFile(checkpoint) as file:
            if damaged := file.testzip():
                raise ValueError(f"the checksum of its part {damaged} is another")


def below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights below a prefix, with the prefix removed from their names.

    Args:
        prefix: Name of a submodule, such as ``teachers.audio``.
        weights: A state dict.

    Example:
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
    return f"the names in the file begin with {', '.join(parts)}"
