"""Apply a criterion of features to intermediate layers."""

import copy
from collections.abc import Sequence
from typing import cast, get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.outputs import stage_map
from fdkd_lightning.losses.wrapper import WrapperLoss, with_prefixes
from fdkd_lightning.ops.checks import check_choice, check_count, check_weights
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.spatial import Positions, arrange
from fdkd_lightning.types import Output


class LayerwiseLoss(WrapperLoss):
    r"""Apply a criterion of ``Output.features`` to ``Output.maps``, the maps or tokens of layers.

    .. math::
        L = \sum_l w_l \, L_l\big(P_l(\rho(A^s_l)), \rho(A^t_l)\big)

    Each stage l has its own copy :math:`L_l` of the criterion, with its own classifiers and learned
    cut-off frequencies. Parameters that exist before the copy are the same in all stages at first;
    those that are drawn in ``build`` differ. Terms are named after stage and term: ``stage2/low``.

    Where widths differ, :math:`P_l` is a trained linear map from the student's to the teacher's
    width, the same at every position (a 1x1 convolution); else it is absent.

    :math:`\rho` brings both maps to common positions. Those of a spectrogram, an image and a text
    do not correspond. ``"mean"``, the default, needs no correspondence: each map becomes one vector
    per sample. ``"resize"`` compares position by position. It is for registered pairs (colour and
    depth) and simultaneous ones (sound and its transcript): the student's map is resized to the
    teacher's grid, bilinearly, with antialiasing, so that every position counts. ``"resize"``
    refuses to compare a sequence with a grid: the order of pixels in rows means nothing to a
    sequence, and averaging instead would give heads other features with a teacher than without.

    Tokens are maps [N, C, 1, L]. A token whose channels are all exactly zero is padding, as in
    ``TransformersModel``. It is left out of the mean. With ``"resize"``, each sample's other tokens
    are stretched to the teacher's L: a zero would be a wrong target, and would pull averaged class
    scores towards the classifier's bias.

    Without a teacher there is no width to project to: unless the loss was built with one,
    classifiers have the student's width.

    Args:
        criterion: Criterion of features, such as :class:`FDKDLoss`; it is copied for each stage.
        stages: Indices into ``Output.maps``, the same for teacher and student.
        weights: One factor per stage, on top of the criterion's own weights; None: 1 each.
        positions: ``"mean"`` averages over positions; ``"resize"`` compares them one by one.

    Shape:
        - maps: [N, C, H, W], or [N, C, 1, L] for tokens; each network with its own sizes
        - target: [N]; or [N, H, W], for criteria with classifiers and ``"resize"``

    Raises:
        ValueError: If ``stages`` is empty or repeats one, ``weights`` has another length or holds a
            negative number, ``positions`` is unknown, an output lacks a stage, ``"resize"`` meets a
            sequence and a grid, or a map's width is not the one that the loss was built for.

    Reference:
        FD-CMKD (arXiv 2511.19887) compares final features only. X. Jiao et al., "TinyBERT" (arXiv
        1909.10351), Eq. 8: layers through a learned linear map; B. Zhou et al. (arXiv 1512.04150):
        averaged scores of a classifier of positions.

    Example:
        >>> from fdkd_lightning.losses.feature import FeatureLoss
        >>> text, image = torch.ones(2, 8, 1, 5), torch.zeros(2, 8, 4, 4)
        >>> text[:, :, :, 3:] = 0  # padding
        >>> outputs = (Output(x[:, :, 0, 0], torch.zeros(2, 3), (x,)) for x in (text, image))
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
        if not isinstance(stages, Sequence) or not stages or len({*stages}) < len(stages):
            raise ValueError(f"stages={stages!r} must name one or more stages, each once")
        given = weights is not None
        if given and not (isinstance(weights, Sequence) and len(weights) == len(stages)):
            raise ValueError(
                f"weights={weights!r} must be one number for each of stages={list(stages)}"
            )
        check_choice("positions", positions, get_args(Positions))
        for stage in stages:
            check_count("stages", stage, None, example=-1)
        for weight in weights or ():
            check_weights(weights=weight)
        self.stages = tuple(stages)
        self.weights = (1.0,) * len(stages) if weights is None else tuple(weights)
        self.positions = positions
        self.criteria = nn.ModuleList(copy.deepcopy(criterion) for _ in stages)
        self.projections = nn.ModuleDict()

    def wrapped(self) -> dict[str, DistillationLoss]:
        """Return the stages' criteria by prefix."""
        return {
            f"stage{stage}/": cast(DistillationLoss, criterion)
            for stage, criterion in zip(self.stages, self.criteria, strict=True)
        }

    def inputs_of(
        self, prefix: str, student: Output, teacher: Output | None
    ) -> tuple[Output, Output | None]:
        """Return both outputs with the maps of a stage as features."""
        stage = int(prefix.removeprefix("stage").removesuffix("/"))
        student_map = stage_map("student", student, stage)
        teacher_map = None if teacher is None else stage_map("teacher", teacher, stage)
        size = student_map.shape[2:] if teacher_map is None else teacher_map.shape[2:]
        # Before the projection, which leaves no zero in padding; an average commutes with it.
        features = self._arrange(student_map, size, stage)
        if f"stage{stage}" in self.projections:
            features = self.projections[f"stage{stage}"](features)
        student = student._replace(features=features, maps=())
        if teacher is None or teacher_map is None:
            return student, None
        if features.shape[1] != teacher_map.shape[1]:
            raise ValueError(
                f"stage {stage}: the student's map has {features.shape[1]} channels where it "
                f"meets the teacher, whose map has {teacher_map.shape[1]}: call "
                "build(student, teacher) first; several teachers must have one width per stage"
            )
        features = self._arrange(teacher_map, size, stage)
        return student, teacher._replace(features=features, maps=())

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the projections where widths differ, and build the criteria."""
        for stage, (prefix, criterion) in zip(self.stages, self.wrapped().items(), strict=True):
            name = f"stage{stage}"
            if teacher is not None and name not in self.projections:
                width = stage_map("student", student, stage).shape[1]
                teacher_width = stage_map("teacher", teacher, stage).shape[1]
                if width != teacher_width:
                    self.projections[name] = ProbedLinear(width, teacher_width)
            with torch.no_grad():
                criterion.build(*self.inputs_of(prefix, student, teacher))

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms of all stages."""
        terms = {}
        for (prefix, criterion), weight in zip(self.wrapped().items(), self.weights, strict=True):
            group = criterion(*self.inputs_of(prefix, student, teacher), target)
            terms[prefix] = {name: weight * term for name, term in group.items()}
        return with_prefixes(terms)

    def _arrange(self, x: Tensor, size: torch.Size, stage: int) -> Tensor:
        return arrange(at_least_float32(x), size, self.positions, f"stage {stage}: ")
