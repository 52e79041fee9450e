"""Linear CKA of every layer of one network against every layer of another."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.analysis.cka import linear_cka


class LayerPair(NamedTuple):
    """Two layers.

    Args:
        first: Name of the layer of the first network.
        second: Name of the layer of the second.
        cka: Their linear CKA; NaN if a layer gives the same for all samples.
        shuffled: The same with the pairs shuffled: what the number of rows alone gives.
    """

    first: str
    second: str
    cka: float
    shuffled: float


def layer_similarities(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], seed: int = 0
) -> list[LayerPair]:
    """Compute linear CKA of all pairs of layers.

    Args:
        first: Name of a layer -> its features.
        second: Those of the other network; row i of all layers is of the same pair.
        seed: Seed of the shuffle.

    Shape:
        - each value: [N, D], D may differ

    Raises:
        TypeError, ValueError: As :func:`linear_cka`.

    Example:
        >>> x = {"conv": torch.randn(32, 8), "dead": torch.zeros(32, 4)}
        >>> [round(pair.cka, 4) for pair in layer_similarities(x, x)]
        [1.0, nan, nan, nan]
    """
    rows = len(next(iter(first.values())))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return [
        LayerPair(a, b, _cka(x, y), _cka(x, y[order]))
        for a, x in first.items()
        for b, y in second.items()
    ]


def _cka(x: Tensor, y: Tensor) -> float:
    if any(bool((values == values[:1]).all()) for values in (x, y)):
        return math.nan
    return linear_cka(x, y)
