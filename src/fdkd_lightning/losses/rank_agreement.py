"""Agreement of two networks on the order of the classes: Kendall's tau-b."""

import torch
from torch import Tensor

from fdkd_lightning.losses.base import CLASSES_REMEDY, require_same_shape
from fdkd_lightning.ops.precision import at_least_float32


def rank_agreement(a: Tensor, b: Tensor) -> Tensor:
    r"""Kendall's tau-b between the two rows of logits of each sample, in float32, without gradient.

    .. math::
        \tau = \frac{\sum_{j<k} \mathrm{sign}(a_j - a_k) \, \mathrm{sign}(b_j - b_k)}
        {\sqrt{\#\{j<k : a_j \neq a_k\} \; \#\{j<k : b_j \neq b_k\}}}

    Args:
        a: Logits of one network.
        b: Logits of the other network.

    Shape:
        - a, b: [N, K], the same
        - output: [N], in [-1, 1]; NaN where a row is constant and so has no order

    Raises:
        ValueError: If the shapes differ.

    Reference:
        Kendall 1945; ``scipy.stats.kendalltau``, which the official code of C2KD calls.

    Example:
        >>> a = torch.tensor([[1.0, 2.0, 3.0]])
        >>> [rank_agreement(a, b).item() for b in (a * 5, -a)]
        [1.0, -1.0]
    """
    require_same_shape("logits", a, b, CLASSES_REMEDY)
    signs = [
        torch.sign(x.unsqueeze(2) - x.unsqueeze(1)).flatten(1)
        for x in (at_least_float32(logits.detach()) for logits in (a, b))
    ]
    untied = [sign.abs().sum(1) for sign in signs]
    return (signs[0] * signs[1]).sum(1) / (untied[0] * untied[1]).sqrt()
