"""Classifiers shared by teacher and student, one per band: they pull the two spaces together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.divergence import softened_kl
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.types import IGNORE_INDEX, Bands


class SharedAlignmentHead(nn.Module):
    r"""One classifier :math:`\Phi` per band, applied to whoever's bands it is given.

    .. math::
        \Phi_b(X_b) = W_b \, \mathrm{ReLU}(X_b) + c_b,
        \quad b \in \{\mathrm{low}, \mathrm{high}\}

    The bands go in as they were split, not standardised, as in the published code.

    Args:
        in_features: D; None: probed from the models when training starts.
        num_classes: K; None: probed likewise.

    Shape:
        - bands: [N, D, ...] each
        - output: [N, K, ...] each

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 10; ``re-FD-CMKD`` (ReLU + Linear).

    Example:
        >>> head = SharedAlignmentHead(in_features=8, num_classes=3)
        >>> head(Bands(torch.randn(2, 8), torch.randn(2, 8))).low.shape
        torch.Size([2, 3])
    """

    def __init__(self, in_features: int | None = None, num_classes: int | None = None) -> None:
        super().__init__()
        self.low = ProbedLinear(in_features, num_classes)
        self.high = ProbedLinear(in_features, num_classes)

    def build(self, in_features: int, num_classes: int) -> None:
        """Create the weights for these sizes, or check that those there fit."""
        self.low.build(in_features, num_classes)
        self.high.build(in_features, num_classes)

    def forward(self, bands: Bands) -> Bands:
        """Class scores of each band."""
        return Bands(self.low(bands.low.relu()), self.high(bands.high.relu()))


def scores_at(scores: Tensor, size: torch.Size) -> Tensor:
    """Class scores at the resolution of the labels: one per sample, or one per pixel.

    Features of a segmentation network have fewer positions than its labels: their scores are
    interpolated. Where there is one label for all positions, of tokens or of a map, their scores
    are averaged, as in class activation maps. Every position counts, padding too, which scores
    the classifier's bias where it is zero: take it out before
    (:class:`~fdkd_lightning.LayerwiseLoss` does).

    Args:
        scores: Class scores.
        size: That of the labels, H and W, or empty.

    Shape:
        - scores: [N, K, H', W'], or [N, K] with an empty size
        - output: [N, K, *size]

    Raises:
        ValueError: If scores of whole samples meet a label per place.

    Reference:
        B. Zhou et al., "Learning deep features for discriminative localization" (arXiv
        1512.04150), Eq. 1.

    Example:
        >>> scores_at(torch.zeros(2, 5, 3, 4), torch.Size([12, 16])).shape
        torch.Size([2, 5, 12, 16])
        >>> scores_at(torch.zeros(2, 5, 1, 7), torch.Size([])).shape
        torch.Size([2, 5])
    """
    if scores.shape[2:] == size:
        return scores
    if not size:
        return scores.flatten(2).mean(2)
    if scores.ndim != 4:
        raise ValueError(
            f"class scores {list(scores.shape)} of whole samples meet labels of {list(size)} "
            "positions: give features that are maps [N, D, H, W] "
            "(LayerwiseLoss: positions='resize')"
        )
    return F.interpolate(scores, tuple(size), mode="bilinear")


def alignment_loss(
    student: Bands, teacher: Bands | None, target: Tensor, teacher_target: Tensor | None = None
) -> Tensor:
    r"""Cross-entropy of the shared classifiers on both bands of both networks.

    .. math::
        L_\mathrm{align} = \sum_{b} \mathrm{CE}(\Phi_b(X_b^s), y) + \mathrm{CE}(\Phi_b(X_b^t), y)

    Args:
        student: Class scores of the student's bands.
        teacher: Class scores of the teacher's bands; None leaves their terms out.
        target: Class indices, -100 where there is no label.
        teacher_target: Those of the teacher's samples; None: the same.

    Returns:
        The sum over bands and networks; each cross-entropy is a mean over labelled samples.

    Shape:
        - student, teacher: [N, K, ...] each; of maps and tokens, as :func:`scores_at` has them
        - target, teacher_target: [N, ...]

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 10.

    Example:
        >>> logits = Bands(torch.zeros(2, 4), torch.zeros(2, 4))
        >>> loss = alignment_loss(logits, logits, torch.tensor([0, 3]))
        >>> round((loss / 4).exp().item(), 4)
        4.0
    """
    low, high = (scores_at(band, target.shape[1:]) for band in student)
    loss = cross_entropy(low, target) + cross_entropy(high, target)
    if teacher is not None:
        target = target if teacher_target is None else teacher_target
        low, high = (scores_at(band, target.shape[1:]) for band in teacher)
        loss = loss + cross_entropy(low, target) + cross_entropy(high, target)
    return loss


def soft_alignment_loss(
    student: Bands,
    teacher: Bands,
    prediction: Tensor,
    target: Tensor,
    teacher_target: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    r"""What :func:`alignment_loss` is for labels, for predictions, on the samples without a label.

    .. math::
        T^2 \sum_b \sum_{m \in \{s, t\}} \frac{1}{|U|} \sum_{i \in U}
        \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T) \,\|\,
        \mathrm{softmax}(\Phi_b(X^m_{b,i}) / T)\big), \quad U = \{i : y_i = -100\}

    Args:
        student: Class scores of the student's bands.
        teacher: Class scores of the teacher's bands.
        prediction: The teacher's logits, the target; they get no gradient.
        target: Class indices, -100 where there is no label.
        teacher_target: Those of the teacher's samples; None: the same.
        temperature: T, above 0.

    Returns:
        The sum over bands and networks of the means over all processes' unlabelled samples.

    Shape:
        - student, teacher: [N, K, ...] each; of maps and tokens, as :func:`scores_at` has them
        - prediction: [N, K, ...]
        - target, teacher_target: [N, ...]

    Example:
        >>> logits = torch.tensor([[1.0, 2.0], [5.0, 0.0]])
        >>> bands = Bands(logits, logits)
        >>> soft_alignment_loss(bands, bands, logits, torch.tensor([-100, 0]))
        tensor(0.)
    """
    loss = torch.zeros((), device=prediction.device)
    own = target if teacher_target is None else teacher_target
    for scores, labels in ((student, target), (teacher, own)):
        unlabelled = labels == IGNORE_INDEX
        for band in scores:
            band = scores_at(band, labels.shape[1:])
            divergence = softened_kl(band, prediction, temperature, reduction="none")
            total = (divergence * unlabelled).sum()
            loss = loss + mean_over_ranks(total, unlabelled.sum().to(total.dtype))
    return loss
