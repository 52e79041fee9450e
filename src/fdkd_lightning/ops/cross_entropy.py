"""Cross-entropy over the labelled samples of all ranks."""

import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import (
    check_classes,
    check_has_classes,
    check_labels,
    check_tensor,
)
from fdkd_lightning.types import IGNORE_INDEX


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    r"""Return this rank's share of the mean cross-entropy over the labelled samples of all ranks.

    .. math:: s_r = -\frac{R}{|U|} \sum_{i \in U_r} \log \mathrm{softmax}(z_i)_{y_i}, \quad
        U = \textstyle\bigcup_r U_r

    :math:`U_r` are the labelled samples of rank r, R is the number of ranks. Ranks hold different
    numbers of labels; here every label weighs the same, so the gradient averaged over ranks equals
    that of a single process with the whole batch. All ranks must call this function equally often.

    Args:
        logits: Class scores.
        target: Class indices, -100 for unlabelled samples.
        label_smoothing: Share of each target that is spread evenly over all classes, from 0 to 1.

    Returns:
        The share. It is zero, with zero gradient, if no sample is labelled.

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W]
        - output: scalar

    Raises:
        TypeError: If the target is no int64 tensor.
        ValueError: If the logits are not floating-point or do not fit the target, a label is
            neither a class nor -100, or ``label_smoothing`` is out of range.

    Example:
        >>> import torch
        >>> round(cross_entropy(torch.zeros(3, 4), torch.tensor([1, -100, 2])).exp().item(), 4)
        4.0
        >>> cross_entropy(torch.zeros(3, 4), torch.full((3,), -100))
        tensor(0.)
    """
    return mean_over_ranks(*cross_entropy_sum(logits, target, label_smoothing))


def cross_entropy_sum(
    logits: Tensor, target: Tensor, label_smoothing: float = 0.0, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum of the cross-entropy over this rank's labelled samples, and their number.

    With weights of the classes it is the weighted sum, and the sum of the weights.

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W]
        - weight: [K]
        - output: two scalars, both of a floating-point dtype
    """
    check_tensor("logits", logits, "[N, K] or [N, K, H, W]", *range(2, 6))
    check_has_classes(logits)
    size = logits.shape[:1] + logits.shape[2:]
    check_labels("target", target, size, f"logits {list(logits.shape)}")
    check_range("label_smoothing", label_smoothing, 0, 1, example=0.1)
    # Half precision holds neither the number of pixels in a batch nor the sum of their losses.
    logits = at_least_float32(logits)
    if weight is not None:
        if weight.shape != logits.shape[1:2]:
            raise ValueError(
                f"weight has shape {list(weight.shape)}, but the logits {list(logits.shape)}: give "
                f"one weight per class, [{logits.shape[1]}]"
            )
        weight = weight.to(logits.dtype)
    try:
        total = F.cross_entropy(
            logits,
            target,
            weight,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
    except IndexError:
        # Only now: the check reads values.
        check_classes("target", target, logits)
        raise
    labelled = target != IGNORE_INDEX
    if weight is not None:
        return total, (weight[target.masked_fill(~labelled, 0)] * labelled).sum()
    return total, labelled.sum().to(total.dtype)
