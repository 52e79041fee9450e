"""Agreement of two networks on the order of the classes: Kendall's tau-b."""

import torch
from torch import Tensor

from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor


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
        - output: [N], in [-1, 1]; NaN where a row is constant, and so has no order, or holds NaN

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the logits are not floating-point [N, K], or their shapes differ.

    Reference:
        Kendall 1945; ``scipy.stats.kendalltau``, which the official code of C2KD calls.

    Example:
        >>> a = torch.tensor([[1.0, 2.0, 3.0]])
        >>> [rank_agreement(a, b).item() for b in (a * 5, -a)]
        [1.0, -1.0]
    """
    for name, logits in (("a", a), ("b", b)):
        check_tensor(name, logits, "logits, one row per sample, [N, K]", 2)
    if a.shape != b.shape:
        raise ValueError(
            f"a has shape {list(a.shape)}, b has shape {list(b.shape)}: give the logits of the "
            "same samples and the same classes, [N, K]"
        )
    signs = [_signs(at_least_float32(logits.detach())) for logits in (a, b)]
    untied = [sign.abs().sum(1) for sign in signs]
    return (signs[0] * signs[1]).sum(1) / (untied[0] * untied[1]).sqrt()


def _signs(x: Tensor) -> Tensor:
    # Compared, not subtracted: two masked classes, -inf, are equal. NaN compares as equal to all.
    left, right = x.unsqueeze(2), x.unsqueeze(1)
    signs = (left > right).to(x.dtype) - (left < right).to(x.dtype)
    return signs.masked_fill(x.isnan().any(1)[:, None, None], torch.nan).flatten(1)
