"""What the rooms of the package hand to each other, and the letters its shapes are written in.

====== =====================================================
letter meaning
====== =====================================================
N      samples in a batch
D      features of a sample (the channel axis that is split)
K      classes
C      channels of a stage's map
L      tokens of a sequence
H, W   height and width of a map or picture, pixels
S      audio samples of a waveform
F, T   mel bins and time frames of a spectrogram
====== =====================================================
"""

from typing import Any, NamedTuple

from torch import Tensor

IGNORE_INDEX = -100
"""The label of a sample without one: no part in any cross-entropy, full part in every distance."""

Batch = dict[str, Any]
"""Modality name -> input, and ``"label"`` [N] and ``"index"`` [N], both int64.

Where samples may lack a modality also ``"present"``: its name -> [N] bool, whether they have it.
"""


class Output(NamedTuple):
    """What every student and teacher returns.

    Shape:
        - features: [N, D] or [N, D, H, W]
        - logits: [N, K] or [N, K, H, W]
        - maps: one [N, C, H, W] per stage, each with its own C, H and W; tokens are [N, C, 1, L],
          zero where there is padding
        - index: [N], the samples' ids within their data set
        - label: [N] or [N, H, W], these samples' labels where they are not those of the batch
    """

    features: Tensor
    logits: Tensor
    maps: tuple[Tensor, ...] = ()
    index: Tensor | None = None  # type: ignore[assignment]  # hides tuple.index
    label: Tensor | None = None


class Bands(NamedTuple):
    """A low and a high part, each shaped like what was split (or like the logits made from it)."""

    low: Tensor
    high: Tensor
