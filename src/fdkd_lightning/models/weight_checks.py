"""Checks of weights before a network gets them: names, shapes, kinds of numbers, values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from fdkd_lightning.files.run_logs import trained_config


def check_weights(
    source: str,
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    model: str = "the model",
    hint: str = "",
    checkpoint: str | Path | None = None,
) -> None:
    """Raise unless weights are those of a network, and numbers that it can compute with.

    Args:
        source: Where the weights come from, for the error: ``checkpoint='a.ckpt'``.
        weights: Name -> tensor.
        expected: The network's state dict.
        model: Name of the network, for the error.
        hint: Where else to look if no name fits.
        checkpoint: The file, if its run's folder may hold the configuration of the fit, which the
            error then names.

    Raises:
        ValueError: If names or shapes differ, or as in :func:`check_numbers`.

    Example:
        >>> net = torch.nn.Linear(2, 1)
        >>> check_weights("file='a.pt'", net.state_dict(), net.state_dict())
        >>> check_weights("file='a.pt'", {"weight": torch.ones(1, 2)}, net.state_dict())
        Traceback (most recent call last):
        ValueError: file='a.pt' does not fit the model: 1 weights are missing (such as bias)...
    """
    common = _common(weights, expected)
    found = _described(
        [
            ("weights are missing", sorted(expected.keys() - weights.keys())),
            ("are not the model's", sorted(weights.keys() - expected.keys())),
            (
                "have another shape",
                [
                    f"{name} {list(weights[name].shape)} instead of {list(expected[name].shape)}"
                    for name in common
                    if weights[name].shape != expected[name].shape
                ],
            ),
        ]
    )
    if found:
        config = None if checkpoint is None else trained_config(checkpoint)
        raise ValueError(
            f"{source} does not fit {model}: {found}. "
            "Give the model the arguments it was trained with"
            + ("" if config is None else f", as in {config}")
            + ("" if common or not hint else f", or a prefix: {hint}")
        )
    check_numbers(source, weights, expected, model)


def check_numbers(
    source: str,
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    model: str = "the model",
) -> None:
    """Raise unless those weights that fit a network are numbers that it can compute with.

    Casting between floating-point types is allowed. Infinite values are allowed where the
    network's own buffer has some, such as a mask.

    Raises:
        ValueError: If kinds of numbers differ (such as integers for floats), or values are NaN,
            infinite or, for variances, negative.

    Example:
        >>> net = torch.nn.Linear(2, 1)
        >>> check_numbers("file='a.pt'", {"bias": torch.tensor([torch.nan])}, net.state_dict())
        Traceback (most recent call last):
        ValueError: file='a.pt' holds no usable weights for the model: 1 hold NaN (such as bias)...
    """
    shaped = [
        name for name in _common(weights, expected) if weights[name].shape == expected[name].shape
    ]
    kinds = {
        name: f"{name} {_kind(weights[name])} instead of {_kind(expected[name])}"
        for name in shaped
        if _kind(weights[name]) != _kind(expected[name])
    }
    if found := _described([("hold other numbers", [*kinds.values()])]):
        raise ValueError(
            f"{source} does not fit {model}: {found}. Give weights as they were trained, not "
            "quantised or converted"
        )
    # As the network will hold them: 1e300 is infinite in float32.
    floats = {
        name: weights[name].to(expected[name].dtype)
        for name in shaped
        if weights[name].is_floating_point()
    }
    found = _described(
        [
            ("hold NaN", [name for name, x in floats.items() if x.isnan().any()]),
            (
                "hold infinite values",
                [n for n, x in floats.items() if x.isinf().any() and not expected[n].isinf().any()],
            ),
            (
                "are negative variances",
                [n for n, x in floats.items() if n.endswith("running_var") and (x < 0).any()],
            ),
        ]
    )
    if found:
        raise ValueError(
            f"{source} holds no usable weights for {model}: {found}. The run that wrote it "
            "diverged, or the file is damaged: give an earlier checkpoint"
        )


def _common(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    # Parts that are sized at the first batch have no shape yet.
    return sorted(name for name in weights.keys() & expected.keys() if not is_lazy(expected[name]))


def _described(problems: list[tuple[str, list[str]]]) -> str:
    return "; ".join(
        f"{len(names)} {what} (such as {names[0]})" for what, names in problems if names
    )


def _kind(x: Tensor) -> str:
    """Kind of the values of a tensor, without their precision."""
    if x.layout != torch.strided:
        return "sparse values"
    if x.is_quantized or x.is_meta:
        return "quantized values" if x.is_quantized else "no values"
    if x.is_floating_point():
        return "floats"
    if x.is_complex():
        return "complex numbers"
    return "booleans" if x.dtype == torch.bool else "integers"


def check_optimizer_states(source: str, checkpoint: Mapping[str, Any]) -> None:
    """Raise if an optimizer's state, from which a run is resumed, is NaN or infinite.

    Args:
        source: Where it comes from, for the error: ``ckpt_path='last.ckpt'``.
        checkpoint: A checkpoint of Lightning.

    Raises:
        ValueError: If a moment or another value is; weights would become NaN, or not move at all.

    Example:
        >>> state = {"state": {0: {"exp_avg": torch.tensor([0.0, torch.nan])}}}
        >>> check_optimizer_states("ckpt_path='last.ckpt'", {"optimizer_states": [state]})
        Traceback (most recent call last):
        ValueError: ckpt_path='last.ckpt' holds no usable optimizer: exp_avg of parameter 0 is ...
    """
    for optimizer in checkpoint.get("optimizer_states", ()):
        for parameter, values in optimizer.get("state", {}).items():
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if isinstance(value, Tensor) and not value.isfinite().all():
                    raise ValueError(
                        f"{source} holds no usable optimizer: {name} of parameter {parameter} is "
                        "NaN or infinite. The run that wrote it diverged, or the file is damaged: "
                        "resume from an earlier checkpoint, or read its weights alone with "
                        "PretrainedModel"
                    )
