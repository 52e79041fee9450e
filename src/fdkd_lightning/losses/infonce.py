"""InfoNCE: contrast of each student feature with the teacher features of the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.decoupler import Decoupler
from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import PROJECTOR_REMEDY, require_same_shape
from fdkd_lightning.ops.checks import check_range, check_weights
from fdkd_lightning.ops.distributed import gather_distinct_rows
from fdkd_lightning.ops.normalize import l2_normalize, standardize
from fdkd_lightning.types import Output


def info_nce_loss(student: Tensor, teacher: Tensor, temperature: float = 0.07) -> Tensor:
    r"""Symmetric InfoNCE loss over the cosine similarities of a batch, in float32.

    .. math::
        -\frac{1}{2N} \sum_i \Big[\log \frac{e^{c_{ii} / \tau}}{\sum_j e^{c_{ij} / \tau}}
        + \log \frac{e^{c_{ii} / \tau}}{\sum_j e^{c_{ji} / \tau}}\Big], \quad
        c_{ij} = \frac{s_i \cdot t_j}{\lVert s_i \rVert \lVert t_j \rVert}

    All other samples of the batch are negatives, whatever their class; a second occurrence of the
    same sample is one, too. The loss of a batch of one is zero.

    Args:
        student: The student's features.
        teacher: The teacher's features of the same samples; they get no gradient.
        temperature: Tau, above 0.

    Shape:
        - student, teacher: [N, D], the same
        - output: scalar

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the features are not floating-point [N, D], their shapes differ, or the
            temperature is not above 0.

    Reference:
        A. van den Oord et al., "Representation learning with contrastive predictive coding"
        (arXiv 1807.03748), Eq. 4; A. Radford et al., "Learning transferable visual models from
        natural language supervision" (arXiv 2103.00020), Figure 3.

    Example:
        >>> info_nce_loss(torch.ones(4, 8), torch.ones(4, 8))  # log 4: all pairs are equal
        tensor(1.3863)
    """
    check_range("temperature", temperature, above=0, example=0.07)
    require_same_shape("features", student, teacher, PROJECTOR_REMEDY)
    if student.ndim != 2:
        raise ValueError(
            f"features have shape {list(student.shape)}: InfoNCE compares samples, one vector "
            "[N, D] each. Give pooled features, or LayerwiseLoss(InfoNCELoss(), stages=[...])"
        )
    student, teacher = l2_normalize(student), l2_normalize(teacher.detach())
    # Autocast would compute the product in bf16, whose rounding errors the temperature multiplies.
    with torch.autocast(student.device.type, enabled=False):
        scores = student @ teacher.T / temperature
    if not len(scores):
        return scores.sum()
    pair = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, pair) + F.cross_entropy(scores.T, pair)) / 2


class InfoNCELoss(DistillationLoss):
    """Distillation loss with the term ``infonce``: w times :func:`info_nce_loss`.

    It aligns student and teacher embeddings for cross-modal retrieval. Measure that with
    :class:`~fdkd_lightning.RecallAtK`, on the same bands.

    Under DDP the negatives come from all ranks, so the gradient equals that of a single process
    with the whole batch. If all ranks already hold the same features, as in a step in which samples
    lack a modality, they are not gathered again.

    Samples of the same class are negatives of each other, because the loss identifies pairs, not
    classes; :class:`CRDLoss` excludes them. A sample that a sampler repeats to fill the last batch
    is a negative of itself, too.

    Args:
        temperature: Tau, above 0; 0.07 is CLIP's initial value and CRD's value.
        decoupler: Split of both features, of which only the low bands are compared, standardised
            as in FD-CMKD (Eq. 7). None compares the whole features.
        weight: Factor w of the term.

    Shape:
        - features: [N, D], the same for both
        - target: not used

    Raises:
        ValueError: If the temperature is not above 0, the weight negative, there is no teacher, or
            the features' shapes differ or are not [N, D].

    Reference:
        A. Radford et al., "Learning transferable visual models from natural language supervision"
        (arXiv 2103.00020), Figure 3, with a fixed temperature and one network frozen;
        mlfoundations/open_clip, src/open_clip/loss.py (negatives of all ranks).

    Example:
        >>> from fdkd_lightning.decoupler import FrequencyDecoupler
        >>> output = Output(torch.eye(4, 8), torch.zeros(4, 3))
        >>> criterion = InfoNCELoss(decoupler=FrequencyDecoupler())
        >>> list(criterion(output, output, torch.tensor([0, 1, 2, -100])))
        ['infonce']
    """

    def __init__(
        self,
        temperature: float = 0.07,
        decoupler: Decoupler | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range("temperature", temperature, above=0, example=0.07)
        check_weights(weight=weight)
        self.temperature = temperature
        self.decoupler = decoupler
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term, and the decoupler's terms."""
        teacher = require_teacher(self, teacher)
        pair = gather_distinct_rows(student.features, teacher.features.detach())
        student_rows, teacher_rows = (self._band(rows) for rows in pair)
        loss = info_nce_loss(student_rows, teacher_rows, self.temperature)
        terms = {"infonce": self.weight * loss}
        return terms if self.decoupler is None else terms | self.decoupler.terms()

    def logged_values(self) -> dict[str, Tensor]:
        """Return the decoupler's logged values, such as a learned cut-off frequency."""
        return {} if self.decoupler is None else self.decoupler.logged_values()

    def _band(self, features: Tensor) -> Tensor:
        if self.decoupler is None:
            return features
        dim = self.decoupler.dim
        return standardize(self.decoupler(features).low, dim, source=features)
