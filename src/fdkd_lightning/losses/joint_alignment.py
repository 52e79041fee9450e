"""The alignment term of both networks' bands at once."""

import torch
from torch import Tensor

from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.ops.band_cross_entropy import band_cross_entropy_sum
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.hooks import has_hooks
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.tensor_checks import check_classes, check_labels
from fdkd_lightning.types import IGNORE_INDEX, Bands


def joint_alignment_loss(classifiers: SharedAlignmentHead, bands: Tensor, target: Tensor) -> Tensor:
    """Compute :func:`alignment_loss` of two networks with the same labels.

    Args:
        classifiers: The shared classifiers.
        bands: The low, then the high bands, the student's followed by the teacher's, which get no
            gradient.
        target: Class indices of the samples, -100 where there is no label.

    Shape:
        - bands: [2, 2N, D, ...]
        - target: [N] or [N, H, W]
        - output: scalar

    Raises:
        TypeError, ValueError: As :func:`alignment_loss`.

    Example:
        >>> classifiers = SharedAlignmentHead(8, 5)
        >>> for parameter in classifiers.parameters():
        ...     _ = torch.nn.init.zeros_(parameter)
        >>> loss = joint_alignment_loss(classifiers, torch.randn(2, 6, 8), torch.tensor([0, 3, 1]))
        >>> round((loss / 4).exp().item(), 4)
        5.0
    """
    if not _is_fused(classifiers, bands, target):
        scores = classifiers(Bands(*bands))
        halves = zip(*(x.chunk(2) for x in scores), strict=True)
        student, teacher = (Bands(*half) for half in halves)
        return alignment_loss(student, teacher, target)
    size = bands.shape[1] // 2
    check_labels("target", target, (size,), f"bands {list(bands.shape)}")
    low, high = classifiers.low, classifiers.high
    weight, bias = torch.stack([low.weight, high.weight]), torch.stack([low.bias, high.bias])
    try:
        total = band_cross_entropy_sum(bands, weight, bias, torch.cat([target, target]), size)
    except IndexError:
        # Only now: the check reads values.
        check_classes("target", target, weight.shape[1])
        raise
    # The sum of four means of as many labels.
    return mean_over_ranks(total, (target != IGNORE_INDEX).sum().to(total.dtype))


def _is_fused(classifiers: SharedAlignmentHead, bands: Tensor, target: Tensor) -> bool:
    """Whether one function computes what these modules would, for vectors in full precision."""
    parts = classifiers, classifiers.low, classifiers.high
    return (
        not torch.compiler.is_compiling()
        and bands.ndim == 3
        and isinstance(target, Tensor)
        and target.ndim == 1
        and not torch.is_autocast_enabled(bands.device.type)
        and type(classifiers) is SharedAlignmentHead
        and not any(map(has_hooks, parts))
        and all(
            type(part) is ProbedLinear
            and part.weight is not None
            and part.weight.dtype == bands.dtype
            and part.in_features == bands.shape[2]
            for part in parts[1:]
        )
    )
