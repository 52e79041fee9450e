"""Classifiers shared by teacher and student, one per band, which align their feature spaces."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.divergence import softened_kl
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.tensor_checks import check_labels, check_tensor
from fdkd_lightning.types import IGNORE_INDEX, Bands


class SharedAlignmentHead(nn.Module):
    r"""One classifier :math:`\Phi` per band, the same for teacher and student.

    .. math::
        \Phi_b(X_b) = W_b \, \mathrm{ReLU}(X_b) + c_b, \quad b \in \{\mathrm{low}, \mathrm{high}\}

    Its inputs are the bands before standardisation, as in the published code.

    Args:
        in_features: D; None: probed from the models when training starts.
        num_classes: K; None: probed from the models when training starts.

    Shape:
        - bands: [N, D, ...] each
        - output: [N, K, ...] each

    Raises:
        ValueError: If the models have other sizes than those given.
        RuntimeError: If it is called before it has both sizes.

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
        """Create the weights, or check that existing ones have these sizes.

        Args:
            in_features: D.
            num_classes: K.

        Raises:
            ValueError: If a size was given that differs.
        """
        self.low.build(in_features, num_classes)
        self.high.build(in_features, num_classes)

    def forward(self, bands: Bands) -> Bands:
        """Compute the class scores of each band."""
        for name, band in zip(("low", "high"), bands, strict=True):
            check_tensor(f"{name} band", band, "[N, D, ...]")
        if bands.low.shape[:1] != bands.high.shape[:1]:
            raise ValueError(
                f"the low band has shape {list(bands.low.shape)}, the high band "
                f"{list(bands.high.shape)}: give the bands of the same features"
            )
        return Bands(self.low(bands.low.relu()), self.high(bands.high.relu()))


def scores_at(scores: Tensor, size: torch.Size) -> Tensor:
    """Bring class scores to the resolution of the labels: one per sample, or one per pixel.

    The features of a segmentation network have fewer positions than its labels: their scores are
    interpolated bilinearly. Where one label covers all positions of a map or tokens of a sequence,
    the scores are averaged, as in class activation maps. Every position counts, also padding, whose
    score is the classifier's bias: remove it first, as :class:`~fdkd_lightning.LayerwiseLoss` does.

    Reference:
        Zhou et al., class activation maps (arXiv 1512.04150), Eq. 1.

    Example:
        >>> scores_at(torch.zeros(2, 5, 3, 4), torch.Size([12, 16])).shape
        torch.Size([2, 5, 12, 16])
        >>> scores_at(torch.zeros(2, 5, 1, 7), torch.Size([])).shape
        torch.Size([2, 5])
    """
    check_tensor("class scores", scores, "[N, K] or [N, K, H, W]", *range(2, 6))
    if scores.shape[2:] == size:
        return scores
    if not size:
        return scores.flatten(2).mean(2)
    if scores.ndim != 4 or len(size) != 2:
        raise ValueError(
            f"class scores {list(scores.shape)} of whole samples meet labels of {list(size)} "
            "positions: give features that are maps [N, D, H, W] "
            "(LayerwiseLoss: positions='resize')"
        )
    return F.interpolate(scores, tuple(size), mode="bilinear")


def alignment_loss(
    student: Bands,
    teacher: Bands | None,
    target: Tensor,
    teacher_target: Tensor | None = None,
    task: Task | None = None,
) -> Tensor:
    r"""Sum the task losses of the shared classifiers over both bands of both networks.

    .. math::
        L_\mathrm{align} = \sum_{b} \mathrm{CE}(\Phi_b(X_b^s), y) + \mathrm{CE}(\Phi_b(X_b^t), y)

    CE is the cross-entropy, as in the paper, or the loss of another task.

    Args:
        student: Class scores of the student's bands.
        teacher: Class scores of the teacher's bands; None leaves their terms out.
        target: Class indices of the student's samples, -100 where there is no label; or the labels
            of another task.
        teacher_target: Labels of the teacher's samples; None: the same as the student's.
        task: What the labels mean; None: one class per sample.

    Returns:
        The sum over bands and networks; each loss is a mean over labelled samples.

    Shape:
        - student, teacher: [N, K], [N, K, H', W'] or [N, K, 1, L] each, brought to the resolution
          of the labels
        - target, teacher_target: [N] or [N, H, W]; or as the task has it
        - output: scalar

    Raises:
        TypeError: If an argument has another type.
        ValueError: If scores of whole samples meet labels of pixels, or do not fit the labels.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 10.

    Example:
        >>> logits = Bands(torch.zeros(2, 4), torch.zeros(2, 4))
        >>> loss = alignment_loss(logits, logits, torch.tensor([0, 3]))
        >>> round((loss / 4).exp().item(), 4)
        4.0
    """
    task = OneClassTask() if task is None else task
    _check_target("target", target)
    _check_scores("student", student)
    low, high = (scores_at(band, task.positions(target, band.shape[1])) for band in student)
    loss: Tensor = task(low, target) + task(high, target)
    if teacher is not None:
        target = target if teacher_target is None else teacher_target
        _check_target("teacher_target", target)
        _check_scores("teacher", teacher)
        low, high = (scores_at(band, task.positions(target, band.shape[1])) for band in teacher)
        loss = loss + task(low, target) + task(high, target)
    return loss


def soft_alignment_loss(
    student: Bands,
    teacher: Bands,
    prediction: Tensor,
    target: Tensor,
    teacher_target: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    r"""Divergence of the shared classifiers from the teacher's prediction, on unlabelled samples.

    .. math::
        T^2 \sum_b \sum_{m \in \{s, t\}} \frac{1}{|U|} \sum_{i \in U}
        \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T) \,\|\,
        \mathrm{softmax}(\Phi_b(X^m_{b,i}) / T)\big), \quad U = \{i : y_i = -100\}

    Args:
        student: Class scores of the student's bands.
        teacher: Class scores of the teacher's bands.
        prediction: The teacher's logits, which the classifiers learn; they get no gradient.
        target: Class indices of the student's samples, -100 where there is no label.
        teacher_target: Class indices of the teacher's samples; None: the same as the student's.
        temperature: T, above 0; larger is softer.

    Returns:
        The sum over bands and networks; each divergence is a mean over the unlabelled samples of
        all ranks.

    Shape:
        - student, teacher: [N, K], [N, K, H', W'] or [N, K, 1, L] each, brought to the resolution
          of the labels
        - prediction: [N, K] or [N, K, H, W]
        - target, teacher_target: [N] or [N, H, W]
        - output: scalar

    Raises:
        TypeError: If an argument has another type.
        ValueError: If scores of whole samples meet labels of pixels, or do not fit the labels.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0], [5.0, 0.0]])
        >>> bands = Bands(logits, logits)
        >>> soft_alignment_loss(bands, bands, logits, torch.tensor([-100, 0]))
        tensor(0.)
    """
    check_tensor("prediction", prediction, "[N, K] or [N, K, H, W]", *range(2, 6))
    size = prediction.shape[:1] + prediction.shape[2:]
    loss = torch.zeros((), device=prediction.device)
    teacher_target = target if teacher_target is None else teacher_target
    for scores, labels in ((student, target), (teacher, teacher_target)):
        check_labels("target", labels, size, f"prediction {list(prediction.shape)}")
        unlabelled = labels == IGNORE_INDEX
        for band in (scores_at(band, labels.shape[1:]) for band in scores):
            divergence = softened_kl(band, prediction, temperature, reduction="none")
            total = (divergence * unlabelled).sum()
            loss = loss + mean_over_ranks(total, unlabelled.sum().to(total.dtype))
    return loss


def _check_scores(role: str, bands: Bands) -> None:
    for name, band in zip(("low", "high"), bands, strict=True):
        check_tensor(f"{role}'s {name} scores", band, "[N, K] or [N, K, H, W]", *range(2, 6))


def _check_target(name: str, target: Tensor) -> None:
    if not isinstance(target, Tensor) or not target.ndim:
        raise TypeError(f"{name} is {target!r}: give an int64 tensor of classes, [N] or [N, H, W]")
