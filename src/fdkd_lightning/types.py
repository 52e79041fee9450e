"""Types passed between the subpackages, and the letters that shapes are written in.

====== =====================================================
letter meaning
====== =====================================================
N      samples in a batch
D      features of a sample (the channel axis that is split)
K      classes
C      channels of a stage's map
L      tokens of a sequence
H, W   height and width of a map or an image, in pixels
S      audio samples of a waveform
F, T   mel bins and time frames of a spectrogram
====== =====================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # decoding processes need the constant, and no torch
    from torch import Tensor

IGNORE_INDEX = -100
"""Target of an unlabelled sample: left out of every cross-entropy, kept in every distance."""

Batch = dict[str, Any]
"""Modality name -> input, and ``"label"`` [N] and ``"index"`` [N], both int64.

Where samples may lack a modality, ``"present"`` maps its name to a bool mask [N].
"""


class Output(NamedTuple):
    """Features and logits of a student or a teacher, the return value of every network.

    Args:
        features: The features that distillation losses compare.
        logits: Class scores.
        maps: Feature maps of the stages, if a loss needs them.
        index: Positions of the samples in their data set.
        label: Labels of the samples, where they differ from those of the batch.

    Shape:
        - features: [N, D] or [N, D, H, W]
        - logits: [N, K] or [N, K, H, W]
        - maps: one [N, C, H, W] per stage, each with its own C, H and W; tokens are [N, C, 1, L],
          padded with zeros
        - index: [N]
        - label: [N] or [N, H, W]

    Example:
        >>> import torch
        >>> output = Output(torch.zeros(2, 8), torch.zeros(2, 3))
        >>> output.logits.shape, output.maps, output.index
        (torch.Size([2, 3]), (), None)
    """

    features: Tensor
    logits: Tensor
    maps: tuple[Tensor, ...] = ()
    index: Tensor | None = None  # type: ignore[assignment]  # hides tuple.index
    label: Tensor | None = None


class Bands(NamedTuple):
    """Low and high band of features, or class scores of these bands.

    Args:
        low: The low band.
        high: The high band.

    Shape:
        - low, high: [N, D, ...], or [N, K, ...] for class scores

    Example:
        >>> import torch
        >>> low, high = Bands(torch.zeros(2, 8), torch.ones(2, 8))
        >>> low.shape
        torch.Size([2, 8])
    """

    low: Tensor
    high: Tensor
