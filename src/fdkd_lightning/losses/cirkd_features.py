"""The features that CIRKD compares, and their pixel-to-pixel relations within a batch."""

from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.losses.masked_pool import masked_pool
from fdkd_lightning.losses.pixels import (
    Void,
    check_feature_maps,
    check_label_maps,
    labels_at,
    pixel_rows,
    zero_where_void,
)
from fdkd_lightning.losses.similarity_kl import similarity_kl
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import IGNORE_INDEX, Output


class FeaturePair(NamedTuple):
    """Feature maps of both networks and their labels, zero where a pixel does not count.

    Args:
        student: The student's features.
        teacher: The teacher's features, without gradient.
        labels: Class of each pixel of the features, -100 for none.
        counted: The pixels that take part in terms that need no label.

    Shape:
        - student: [N, D, H, W]; teacher: [N, D', H, W]
        - labels, counted: [N, H, W]
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    counted: Tensor


def feature_pair(student: Output, teacher: Output, target: Tensor, void: Void) -> FeaturePair:
    """Bring labels to the features, and leave out the pixels that do not count.

    A pixel has no label where the target or, if it has labels of its own, the teacher's output has
    none.

    Args:
        student: The student's output.
        teacher: The teacher's output.
        target: Class of each pixel of the logits.
        void: Whether pixels without a label count.

    Shape:
        - target: [N, H, W], -100 where there is no label

    Raises:
        TypeError: If a target is no int64 tensor.
        ValueError: If outputs are no maps, or the maps or the target do not fit.

    Example:
        >>> output = Output(torch.ones(1, 8, 1, 2), torch.zeros(1, 3, 1, 2))
        >>> pair = feature_pair(output, output, torch.tensor([[[1, -100]]]), "exclude")
        >>> pair.student.sum(1).tolist(), pair.counted.tolist()
        ([[[8.0, 0.0]]], [[[True, False]]])
    """
    check_feature_maps(student, teacher)
    check_label_maps("target", target, student.logits)
    labels = _labels(target, teacher)
    labels = labels_at(labels, student.features.shape[2:])
    counted = labels != IGNORE_INDEX
    if void == "keep":
        counted = torch.ones_like(counted)
    features = at_least_float32(student.features)
    return FeaturePair(
        zero_where_void(features, counted),
        zero_where_void(teacher.features.detach().to(features.dtype), counted),
        labels,
        counted,
    )


def counted_logits(target: Tensor, teacher: Output, void: Void) -> Tensor:
    """Return which pixels of the logits take part in terms that need no label.

    Shape:
        - target, output: [N, H, W]

    Example:
        >>> output = Output(torch.ones(1, 8, 1, 2), torch.zeros(1, 3, 1, 2))
        >>> counted_logits(torch.tensor([[[1, -100]]]), output, "exclude")
        tensor([[[ True, False]]])
    """
    has_label = _labels(target, teacher) != IGNORE_INDEX
    return has_label if void == "exclude" else torch.ones_like(has_label)


def pixel_pairs(pair: FeaturePair, temperature: float = 0.1, pooling: int = 1) -> Tensor:
    r"""Compare the similarities between the pixels of every two images of a batch.

    .. math::
        \frac{1}{N^2} \sum_{ij} \frac{1}{|P_i|} \sum_{p \in P_i} \mathrm{KL}\big(
        \mathrm{softmax}_{q \in P_j}(v^t_p \cdot v^t_q / \tau) \,\|\,
        \mathrm{softmax}_{q \in P_j}(v^s_p \cdot v^s_q / \tau)\big)

    v are features of unit length, P_i the pixels of image i that count. Images without any are
    left out of N.

    Args:
        pair: The features.
        temperature: Tau, above 0.
        pooling: Average-pool the features by this factor before.

    Shape:
        - output: scalar, this rank's share of the mean over all ranks' pairs

    Reference:
        winycg/CIRKD, losses/cirkd_mini_batch.py; CIRKD (arXiv 2204.06986).

    Example:
        >>> output = Output(torch.ones(2, 8, 2, 2), torch.zeros(2, 3, 2, 2))
        >>> target = torch.zeros(2, 2, 2, dtype=torch.long)
        >>> pixel_pairs(feature_pair(output, output, target, "exclude"))
        tensor(0.)
    """
    rows, keys = [], []
    for features in (pair.student, pair.teacher):
        pooled, counted = masked_pool(features, pair.counted, pooling)
        unit = l2_normalize(pooled)
        rows.append(pixel_rows(unit))
        keys.append(unit.flatten(2).mT)
    mask = counted.flatten(1)
    divergence = similarity_kl(rows[0], rows[1], keys[0], keys[1], temperature, mask)
    sizes = mask.sum(1)
    share = mask.to(divergence.dtype) / sizes.clamp_min(1)[:, None]
    present = sizes > 0
    of_pairs = (divergence * share.flatten()[:, None]).view(*mask.shape, len(mask)).sum(1)
    total = of_pairs.where(present, 0.0).sum()
    count = present.sum().to(total.dtype)
    return mean_over_ranks(total, count.square())


def _labels(target: Tensor, teacher: Output) -> Tensor:
    """The labels of the teacher's pixels, where the student's have one, too."""
    if teacher.label is None:
        return target
    check_label_maps("the teacher's label", teacher.label, teacher.logits)
    return teacher.label.where(target != IGNORE_INDEX, IGNORE_INDEX)
