"""Weights that are read when training begins, and not before."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.types import Output


class DeferredModel(nn.Module, ABC):
    """A network whose weights come from elsewhere, and are read when fit begins."""

    @abstractmethod
    def load(self) -> None:
        """Read all weights, those of the parts included."""

    def self_contained(self) -> dict[str, Any]:
        """Arguments which, put over its own, build it where nothing else can be read."""
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
    """A model and the checkpoint that its weights come from.

    The file is read by :meth:`load`, which the modules call when fit begins, so that testing or
    exporting a distilled student needs no teacher file. Only weights are unpickled
    (``weights_only=True``): a checkpoint cannot run code. What the model itself would read or
    download is not, for the checkpoint replaces it.

    Args:
        model: A network that returns :class:`~fdkd_lightning.types.Output`.
        checkpoint: A checkpoint of ``UnimodalModule`` or ``DistillationModule`` (its trained
            network is taken), a plain state dict of the model, or any Lightning checkpoint.
        prefix: Take what lies below this name instead: ``teachers.audio`` of a
            ``DistillationModule`` that trains its teachers, or ``backbone`` of a module that
            somebody else wrote.

    Raises:
        FileNotFoundError: By :meth:`load`, if there is no such file.
        ValueError: By :meth:`load`, if the file is not a checkpoint, holds pickled code, has
            nothing below the prefix, or its weights do not fit the model.

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
        own = self.model.state_dict()
        found = [stored if self.prefix is None else below(self.prefix, stored)]
        if not found[0]:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} holds nothing below prefix={self.prefix!r}: "
                f"{_places(stored, own)}"
            )
        # A network is stored below "model" by our modules, beside criterion and projector, and
        # below another one when it was itself a PretrainedModel there.
        while nested := below("model", found[-1]):
            found.append(nested)
        weights = max(found, key=lambda weights: len(weights.keys() & own.keys()))
        _check_fit(self.checkpoint, weights, own, _places(stored, own))
        self.model.load_state_dict(weights)

    def forward(self, *args: Any, **kwargs: Any) -> Output:
        """The model's output for what it takes."""
        output: Output = self.model(*args, **kwargs)
        return output


def load_pretrained(module: nn.Module) -> None:
    """Load every :class:`DeferredModel` inside ``module``, such as a ``PretrainedModel``."""
    if isinstance(module, DeferredModel):
        # What it reads holds the weights of those inside, which are spared a download.
        module.load()
        return
    for part in module.children():
        load_pretrained(part)


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The state dict that a file holds, plain or inside a Lightning checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint or holds pickled code.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"checkpoint={str(checkpoint)!r} is not a file (looked from {str(Path.cwd())!r}): "
            "train that model first, or give the path of its .ckpt"
        )
    try:
        content: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise whatever their bytes lead to
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


def below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the part that has this name, under the names that it gives them itself.

    Example:
        >>> below("teachers.audio", {"teachers.audio.fc.bias": torch.zeros(1)})
        {'fc.bias': tensor([0.])}
    """
    start = prefix.removesuffix(".") + "."
    return {name.removeprefix(start): w for name, w in weights.items() if name.startswith(start)}


def _places(stored: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Where the file may hold the model's weights."""
    name = next(iter(own), "")
    starts = {key.removesuffix(f".{name}") for key in stored if key.endswith(f".{name}")}
    if fitting := sorted(start for start in starts if below(start, stored).keys() == own.keys()):
        return "its weights are there with " + " or ".join(f"prefix={x!r}" for x in fitting)
    parts = dict.fromkeys(key.partition(".")[0] for key in stored)
    return f"the names there begin with {', '.join(parts)}"


def _check_fit(
    checkpoint: Path, weights: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str
) -> None:
    missing = sorted(own.keys() - weights.keys())
    unexpected = sorted(weights.keys() - own.keys())
    shapes = [
        f"{key} {list(weights[key].shape)} instead of {list(own[key].shape)}"
        for key in own.keys() & weights.keys()
        if own[key].shape != weights[key].shape
    ]
    problems = [
        f"{len(keys)} {what} (such as {', '.join(keys[:3])})"
        for what, keys in (
            ("weights are missing", missing),
            ("are not the model's", unexpected),
            ("have another shape", shapes),
        )
        if keys
    ]
    if problems:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} does not fit the model: {'; '.join(problems)}. "
            "Give the model the arguments it was trained with"
            + ("" if weights.keys() & own.keys() else f", or a prefix: {where}")
        )
