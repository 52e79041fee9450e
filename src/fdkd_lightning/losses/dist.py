"""DIST: correlation of the predictions with the teacher's, over classes and over samples."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_range, check_weights
from fdkd_lightning.ops.divergence import check_logits, check_masks
from fdkd_lightning.ops.normalize import standardize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output

EPS = 1e-8


def dist_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""One minus the correlation of predictions, within samples and within classes, in float32.

    .. math::
        \mathrm{inter} = \tau^2 \Big(1 - \frac{1}{N} \sum_i \rho(p^s_{i \cdot}, p^t_{i \cdot})\Big),
        \qquad
        \mathrm{intra} = \tau^2 \Big(1 - \frac{1}{K} \sum_k \rho(p^s_{\cdot k}, p^t_{\cdot k})\Big)

    Here :math:`p = \mathrm{softmax}(z / \tau)` and, as in the official code,

    .. math::
        \rho(a, b) = \frac{\sum (a - \bar a)(b - \bar b)}
        {\lVert a - \bar a \rVert \, \lVert b - \bar b \rVert + 10^{-8}}

    A uniform prediction, or a class with the same probability in the whole batch, has correlation 0
    and zero gradient. The formula alone would correlate rounding residue there, with gradients up
    to 1e8. Consequences: in a batch of one, ``intra`` is :math:`\tau^2`. Probabilities that vary
    by much less than 1e-4 hardly correlate even with themselves, because of the 1e-8, so classes
    that neither network predicts in the batch keep ``intra`` above zero. With two classes the
    correlation within a sample is 1 or -1 and has zero gradient, so only ``intra`` trains. A class
    that both networks mask (-inf) in the whole batch adds 0 to ``intra``. For an empty batch both
    distances are 0.

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        temperature: Tau, above 0; larger is softer.

    Returns:
        The inter-class and the intra-class distance.

    Shape:
        - student, teacher: [N, K] or [N, K, H, W], the same; pixels are samples
        - output: two scalars

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the logits are not floating-point or their shapes differ, the temperature is
            not above 0, or (on a CPU) the student masks a class that the teacher does not mask.

    Reference:
        Huang et al. 2022 (arXiv 2205.10536); hunto/image_classification_sota,
        lib/models/losses/dist_kd.py; for pixels hunto/DIST_KD, segmentation/losses/dist_kd.py.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]])
        >>> [round(distance.item(), 4) for distance in dist_loss(logits, logits + 5)]
        [0.0, 0.0]
    """
    check_range("temperature", temperature, above=0, example=1)
    check_logits(student, teacher)
    check_masks(student, teacher)
    masked = _by_class((student == -torch.inf) & (teacher == -torch.inf)).all(1)
    student = _predictions(student, temperature)
    teacher = _predictions(teacher.detach(), temperature)
    if not student.shape[1]:
        return student.sum(), student.sum()
    inter = 1 - _correlation(student, teacher, 0).mean()
    # Nobody predicts a class that both mask in the whole batch: it adds no distance.
    intra = 1 - _correlation(student, teacher, 1).masked_fill(masked, 1.0).mean()
    return temperature**2 * inter, temperature**2 * intra


def _predictions(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities of the classes in all samples: [N, K] -> [K, N], [N, K, H, W] -> [K, N H W]."""
    return _by_class(F.softmax(at_least_float32(logits) / temperature, dim=1))


def _by_class(x: Tensor) -> Tensor:
    return x.movedim(1, 0).flatten(1)


def _correlation(x: Tensor, y: Tensor, dim: int) -> Tensor:
    # Both factors are safe for constant rows: the cosine and its gradient are zero.
    cosine = (standardize(x, dim) * standardize(y, dim)).sum(dim)
    size = _spread(x, dim) * _spread(y, dim)
    return cosine * size / (size + EPS)


def _spread(x: Tensor, dim: int) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x - x.mean(dim, keepdim=True), dim=dim)
    return norm


class DISTLoss(DistillationLoss):
    r"""Distillation loss with the terms ``inter`` and ``intra`` of :func:`dist_loss`.

    .. math:: L = w \, (\beta \, \mathrm{inter} + \gamma \, \mathrm{intra})

    Args:
        beta: Weight of ``inter``; 1 in the official code.
        gamma: Weight of ``intra``; 1 in the official code.
        temperature: Tau, above 0; larger is softer. The official code sets 1 on ImageNet and for
            segmentation, 4 on CIFAR-100.
        weight: Factor w of both terms. The official code sets 2 on ImageNet and CIFAR-100, 1 for
            segmentation, with a task weight of 1.

    Shape:
        - logits: [N, K] or [N, K, H, W], the same for both
        - target: not used

    Raises:
        ValueError: If the temperature is not above 0, a weight negative or not finite, there is no
            teacher, or the numbers of classes differ.

    Example:
        >>> output = Output(torch.ones(1, 8), torch.tensor([[0.0, 0.0, 9.0]]))
        >>> terms = DISTLoss()(output, output, torch.tensor([0]))
        >>> {name: round(term.item(), 4) for name, term in terms.items()}
        {'inter': 0.0, 'intra': 2.0}
    """

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
        weight: float = 2.0,
    ) -> None:
        super().__init__()
        check_range("temperature", temperature, above=0, example=1)
        check_weights(beta=beta, gamma=gamma, weight=weight)
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature
        self.weight = weight

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        teacher = require_teacher(self, teacher)
        inter, intra = dist_loss(student.logits, teacher.logits, self.temperature)
        return {"inter": self.weight * self.beta * inter, "intra": self.weight * self.gamma * intra}
