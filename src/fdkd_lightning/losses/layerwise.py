"""A criterion of the features, at stages of the networks."""

import copy
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, stage_map
from fdkd_lightning.ops.checks import check_choice
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.spatial import Positions, arrange
from fdkd_lightning.types import Output


class LayerwiseLoss(DistillationLoss):
    r"""A criterion of ``Output.features``, applied to ``Output.maps``: to layers and their tokens.

    .. math::
        L = \sum_l w_l \, L_l\big(P_l(\rho(A^s_l)), \rho(A^t_l)\big)

    Each stage l has a copy :math:`L_l` of the criterion, with classifiers and cut-offs of its own.
    (What a criterion draws when it is built differs from copy to copy; what it had drawn before is
    the same at first.) Where the widths differ, :math:`P_l` takes the student's to the teacher's,
    a linear map of each place (a 1x1 convolution) that is trained; else it is absent. Terms are
    named after stage and term: ``stage2/low``.

    :math:`\rho` is what is done with positions. A spectrogram's, a picture's and a text's do not
    correspond, so that ``"mean"``, which needs no correspondence, is the default: each map becomes
    one vector per sample. ``"resize"`` compares place by place, where pairs are registered (colour
    and depth) or run alongside (sound and its transcript): the student's map is brought to the
    teacher's grid, bilinearly (with antialiasing, so that no place is skipped). A sequence along
    the rows of a picture would be an order that means nothing: ``"resize"`` refuses it, rather than
    average where the teacher is there, and not where the heads are evaluated without it.

    Tokens are maps [N, C, 1, L]. A token whose channels are all exactly zero is padding, as
    ``TransformersModel`` leaves it. It has no part in a mean, and in ``"resize"`` each sample's
    tokens, without it, are stretched over the teacher's L: a zero would be a wrong target, and
    would draw the mean of the class scores to the classifier's bias.

    Without a teacher there is no width to go to: unless the loss was built with one, classifiers
    have the student's width.

    Args:
        criterion: Compares features, such as :class:`FDKDLoss`; it is copied.
        stages: Which of ``Output.maps`` are compared, the same of teacher and student.
        weights: One number per stage, on top of the criterion's own; None: 1 each.
        positions: ``"mean"`` or ``"resize"``.

    Shape:
        - maps: [N, C, H, W], or [N, C, 1, L] of tokens; each network with its own sizes
        - target: [N]; or [N, H, W], which a criterion with classifiers takes with ``"resize"``

    Raises:
        ValueError: If an argument is out of range, there is no such stage, ``"resize"`` meets a
            sequence and a grid, or a width is none that the loss was built for.

    Reference:
        FD-CMKD (arXiv 2511.19887) compares the features alone. X. Jiao et al., "TinyBERT" (arXiv
        1909.10351), Eq. 8: layers through a learned linear map; B. Zhou et al. (arXiv 1512.04150):
        a classifier of positions whose scores are averaged.

    Example:
        >>> from fdkd_lightning.losses.feature import FeatureLoss
        >>> text, picture = torch.ones(2, 8, 1, 5), torch.zeros(2, 8, 4, 4)
        >>> text[:, :, :, 3:] = 0  # padding
        >>> outputs = (Output(x[:, :, 0, 0], torch.zeros(2, 3), (x,)) for x in (text, picture))
        >>> LayerwiseLoss(FeatureLoss(), stages=[0])(*outputs, torch.tensor([0, 1]))
        {'stage0/feature': tensor(1.)}
    """

    def __init__(
        self,
        criterion: DistillationLoss,
        stages: Sequence[int],
        weights: Sequence[float] | None = None,
        positions: Positions = "mean",
    ) -> None:
        super().__init__()
        if not stages or len({*stages}) < len(stages):
            raise ValueError(f"stages={list(stages)} must name one or more stages, each once")
        if weights is not None and len(weights) != len(stages):
            raise ValueError(
                f"weights={list(weights)} must be one number for each of stages={list(stages)}"
            )
        check_choice("positions", positions, get_args(Positions))
        self.stages = tuple(stages)
        self.weights = (1.0,) * len(stages) if weights is None else tuple(weights)
        self.positions = positions
        self.criteria = nn.ModuleList(copy.deepcopy(criterion) for _ in stages)
        self.projections = nn.ModuleDict()

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the projections where widths differ, and size the criteria."""
        for stage, criterion in self._each():
            name = f"stage{stage}"
            if teacher is not None and name not in self.projections:
                own = stage_map("student", student, stage).shape[1]
                its = stage_map("teacher", teacher, stage).shape[1]
                if own != its:
                    self.projections[name] = ProbedLinear(own, its)
            with torch.no_grad():
                criterion.build(*self._at(stage, student, teacher))

    def single_teacher_only(self) -> bool:
        """Whether the criterion does."""
        return any(criterion.single_teacher_only() for _, criterion in self._each())

    def warmup_epochs(self) -> int:
        """The criterion's."""
        return max(criterion.warmup_epochs() for _, criterion in self._each())

    def set_epoch(self, epoch: int) -> None:
        """Tell the criteria."""
        for _, criterion in self._each():
            criterion.set_epoch(epoch)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms of all stages."""
        terms: dict[str, Tensor] = {}
        for (stage, criterion), weight in zip(self._each(), self.weights, strict=True):
            found = criterion(*self._at(stage, student, teacher), target)
            terms |= {f"stage{stage}/{name}": weight * term for name, term in found.items()}
        return terms

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Those of all stages, on the student's own grid, under the names of their terms."""
        return {
            f"stage{stage}/{name}": logits
            for stage, criterion in self._each()
            for name, logits in criterion.heads(self._at(stage, student, None)[0]).items()
        }

    def logged_values(self) -> dict[str, Tensor]:
        """Those of all stages, likewise."""
        return {
            f"stage{stage}/{name}": value
            for stage, criterion in self._each()
            for name, value in criterion.logged_values().items()
        }

    def _each(self) -> list[tuple[int, DistillationLoss]]:
        pairs = []
        for stage, criterion in zip(self.stages, self.criteria, strict=True):
            assert isinstance(criterion, DistillationLoss)
            pairs.append((stage, criterion))
        return pairs

    def _at(
        self, stage: int, student: Output, teacher: Output | None
    ) -> tuple[Output, Output | None]:
        """The outputs with the stage's maps for features."""
        own = stage_map("student", student, stage)
        its = None if teacher is None else stage_map("teacher", teacher, stage)
        size = own.shape[2:] if its is None else its.shape[2:]
        # Before the projection, which leaves no zero in padding; an average commutes with it.
        features = self._placed(own, size, stage)
        if f"stage{stage}" in self.projections:
            features = self.projections[f"stage{stage}"](features)
        at = student._replace(features=features, maps=())
        if teacher is None or its is None:
            return at, None
        if features.shape[1] != its.shape[1]:
            raise ValueError(
                f"stage {stage}: the student's map has {features.shape[1]} channels where it "
                f"meets the teacher, whose map has {its.shape[1]}: call build(student, teacher) "
                "first; several teachers must have one width per stage"
            )
        return at, teacher._replace(features=self._placed(its, size, stage), maps=())

    def _placed(self, x: Tensor, size: torch.Size, stage: int) -> Tensor:
        x = at_least_float32(x)
        return arrange(x, size, self.positions, f"stage {stage}: ")
