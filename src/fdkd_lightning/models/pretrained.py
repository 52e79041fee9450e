"""Weights that are read when training begins, and not before."""

from abc import ABC, abstractmethod
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


class PretrainedModel(DeferredModel):
    """A model and the checkpoint that its weights come from.

    The file is read by :meth:`load`, which the modules call when fit begins, so that testing or
    exporting a distilled student needs no teacher file. Only weights are unpickled
    (``weights_only=True``): a checkpoint cannot run code. What the model itself would read or
    download is not, for the checkpoint replaces it.

    Args:
        model: A network that returns :class:`~fdkd_lightning.types.Output`.
        checkpoint: A checkpoint of ``UnimodalModule`` or ``DistillationModule`` (its trained
            network is taken), or a plain state dict of the model.

    Raises:
        FileNotFoundError: By :meth:`load`, if there is no such file.
        ValueError: By :meth:`load`, if the file is not a checkpoint, holds pickled code, or its
            weights do not fit the model.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teacher = PretrainedModel(ResNet(10), "runs/teacher/checkpoints/best.ckpt")
    """

    def __init__(self, model: nn.Module, checkpoint: str | Path) -> None:
        super().__init__()
        self.model = model
        self.checkpoint = Path(checkpoint)

    def load(self) -> None:
        """Read the weights into the model; all of them must fit."""
        weights = read_weights(self.checkpoint)
        own = self.model.state_dict()
        # A network is stored below "model." by our modules, and below another one when it was
        # itself a PretrainedModel there.
        while weights and not weights.keys() & own.keys() and any(map(_is_nested, weights)):
            weights = {
                key.removeprefix("model."): value
                for key, value in weights.items()
                if _is_nested(key)
            }
        _check_fit(self.checkpoint, weights, own)
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
        if "GLOBAL" in str(error):  # the pickle opcode that names a class or function
            raise ValueError(
                f"checkpoint={str(checkpoint)!r} holds pickled code besides weights, which is "
                "never run: save `model.state_dict()` instead of the model"
            ) from error
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} is not a checkpoint, or a damaged one: "
            "it must be written by torch.save or by Lightning"
        ) from error
    of_lightning = isinstance(content, dict) and "state_dict" in content
    if of_lightning:
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} holds {type(content).__name__}, not a state dict "
            "of names and tensors: save `model.state_dict()`"
        )
    if of_lightning:
        # Our modules keep the trained network under this name, beside criterion and projector.
        nested = {k.removeprefix("model."): v for k, v in content.items() if _is_nested(k)}
        return nested or content
    return content


def _is_nested(key: str) -> bool:
    return key.startswith("model.")


def _check_fit(checkpoint: Path, weights: dict[str, Tensor], own: dict[str, Tensor]) -> None:
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
        )
