"""InfoNCE: a student's feature finds its teacher's among those of the batch, and is found by it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.decoupler import Decoupler
from fdkd_lightning.losses.base import (
    PROJECTOR_REMEDY,
    DistillationLoss,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.ops.distributed import gather_rows, row_counts
from fdkd_lightning.ops.normalize import l2_normalize, standardize
from fdkd_lightning.types import Output


def info_nce_loss(student: Tensor, teacher: Tensor, temperature: float = 0.07) -> Tensor:
    r"""Cross-entropy of finding one's own pair by cosine, in both directions, in float32.

    .. math::
        -\frac{1}{2N} \sum_i \Big[\log \frac{e^{c_{ii} / \tau}}{\sum_j e^{c_{ij} / \tau}}
        + \log \frac{e^{c_{ii} / \tau}}{\sum_j e^{c_{ji} / \tau}}\Big], \quad
        c_{ij} = \frac{s_i \cdot t_j}{\lVert s_i \rVert \lVert t_j \rVert}

    All others of the batch are negatives, whatever their class, and so is the same sample where
    it occurs twice. A batch of one has none: its loss is zero.

    Args:
        student: The student's features.
        teacher: The teacher's features of the same samples; they get no gradient.
        temperature: Tau, above 0.

    Shape:
        - student, teacher: [N, D], the same
        - output: scalar

    Raises:
        ValueError: If the shapes differ, or are not [N, D].

    Reference:
        A. van den Oord et al., "Representation learning with contrastive predictive coding"
        (arXiv 1807.03748), Eq. 4; A. Radford et al., "Learning transferable visual models from
        natural language supervision" (arXiv 2103.00020), Figure 3.

    Example:
        >>> info_nce_loss(torch.ones(4, 8), torch.ones(4, 8))  # log 4: all look the same
        tensor(1.3863)
    """
    require_same_shape("features", student, teacher, PROJECTOR_REMEDY)
    if student.ndim != 2:
        raise ValueError(
            f"features have shape {list(student.shape)}: InfoNCE compares samples, one vector "
            "[N, D] each. Give pooled features, or LayerwiseLoss(InfoNCELoss(), stages=[...])"
        )
    own, its = l2_normalize(student), l2_normalize(teacher.detach())
    # Autocast would take the product to bf16, whose steps the temperature multiplies.
    with torch.autocast(own.device.type, enabled=False):
        scores = own @ its.T / temperature
    pair = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, pair) + F.cross_entropy(scores.T, pair)) / 2


class InfoNCELoss(DistillationLoss):
    """:func:`info_nce_loss` of the features, or of their low bands, with the one term ``infonce``.

    It makes a student that is found by its teacher's embedding: for retrieval across modalities.
    Measure it by :class:`~fdkd_lightning.RecallAtK`, on the same bands.

    Under DDP the negatives are those of all processes, so that two processes learn what one would
    from both batches. Where all have the same features already, as in a step in which samples lack
    a modality, these are it.

    Samples of one class are negatives of each other like any others, as they must be to find the
    pair rather than the class; where the class alone is of interest, :class:`CRDLoss` leaves them
    out. So is a sample that a sampler repeats to fill the last batch.

    Args:
        temperature: Tau, above 0; 0.07 is where CLIP begins and what CRD has.
        decoupler: Splits both features; their low bands alone are compared, standardised as in
            FD-CMKD (Eq. 7). None: the whole features, scaled to unit length.
        weight: Factor of the term.

    Shape:
        - features: [N, D], the same for both; the target is not used

    Raises:
        ValueError: If the temperature is not above 0, there is no teacher, or the features' shapes
            differ or are not [N, D].

    Reference:
        A. Radford et al., "Learning transferable visual models from natural language supervision"
        (arXiv 2103.00020), Figure 3, with a fixed temperature and one network frozen;
        mlfoundations/open_clip, src/open_clip/loss.py (negatives of all processes).

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
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0, for example 0.07")
        self.temperature = temperature
        self.decoupler = decoupler
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term, and the decoupler's own."""
        teacher = require_teacher(self, teacher)
        own, its = student.features, teacher.features.detach()
        counts = row_counts(own)
        if len(counts) > 1:
            everyones = gather_rows(own), gather_rows(its)
            if not all(_repeated(rows, counts) for rows in everyones):
                own, its = everyones
        own, its = self._compared(own), self._compared(its)
        terms = {"infonce": self.weight * info_nce_loss(own, its, self.temperature)}
        return terms if self.decoupler is None else terms | self.decoupler.terms()

    def logged_values(self) -> dict[str, Tensor]:
        """What the decoupler has to show, such as a learned cut-off."""
        return {} if self.decoupler is None else self.decoupler.logged_values()

    def _compared(self, features: Tensor) -> Tensor:
        if self.decoupler is None:
            return features
        dim = self.decoupler.dim
        return standardize(self.decoupler(features).low, dim, source=features)


def _repeated(rows: Tensor, counts: list[int]) -> bool:
    """Whether the rows of all processes are the same."""
    if len({*counts}) > 1:
        return False
    each = rows.detach().reshape(len(counts), -1)
    return bool((each == each[0]).all())
