"""Bringing a student's features to the width, the grid and the rank of a teacher's."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.linear import ProbedLinear

Places = Literal["resize", "mean"]
"""Where teacher and student have other places: the student's are resized, or all are averaged."""


class Projector(nn.Module):
    r"""A trained linear map of the student's features to each teacher's width.

    .. math::
        X^s \mapsto W_{D_t} \, \mathrm{places}(X^s) + b_{D_t}

    It is not needed after training. What has no trained part is settled by the shapes: if one side
    is a vector and the other has places (a map, or tokens), the other is averaged over its places;
    if both have places, but not the same, the student's are interpolated to the teacher's. A
    sequence of tokens against a grid has no places in common, so that both are averaged.

    Args:
        out_features: The width without a teacher (the teacher-free control), which is the
            teacher's, so that the heads are the same; None: the student's own.
        places: ``"resize"`` as above; ``"mean"`` averages both wherever they differ.

    Shape:
        - student: [N, D, ...], places being [H, W] of a map or [1, L] of tokens
        - teacher: [N, D', ...]
        - output: both [N, D'], or both [N, D', H, W] with the teacher's places

    Raises:
        ValueError: If ``places`` is unknown, or features have another rank.
        RuntimeError: If it is called before it is built.

    Example:
        >>> import torch
        >>> projector = Projector()
        >>> student, teacher = torch.randn(2, 8, 7, 7), torch.randn(2, 16)
        >>> projector.build(student, teacher)
        >>> [x.shape for x in projector(student, teacher)]
        [torch.Size([2, 16]), torch.Size([2, 16])]
    """

    def __init__(self, out_features: int | None = None, places: Places = "resize") -> None:
        super().__init__()
        if places not in get_args(Places):
            raise ValueError(f"places={places!r} must be one of {', '.join(get_args(Places))}")
        self.out_features = out_features
        self.places = places
        # By the teacher's width: teachers of one width share the map, and with it the heads.
        self.linear = nn.ModuleDict()

    def build(self, student: Tensor, teacher: Tensor | None) -> None:
        """Create the map to this teacher's width, if it is not there yet."""
        for role, features in (("student", student), ("teacher", teacher)):
            if features is not None and features.ndim not in (2, 4):
                raise ValueError(
                    f"the {role}'s features have shape {list(features.shape)}: a projector takes "
                    "[N, D], maps [N, D, H, W] or tokens as [N, D, 1, L]"
                )
        width = self._width(student, teacher)
        if str(width) not in self.linear:
            self.linear[str(width)] = ProbedLinear(student.shape[1], width)

    def forward(self, student: Tensor, teacher: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The student's features as the teacher's are, and these."""
        width = str(self._width(student, teacher))
        if width not in self.linear:
            raise RuntimeError(
                f"Projector has no map to features of width {width} yet: call build() with the "
                "outputs of one batch before the first forward"
            )
        if teacher is not None:
            student, teacher = match_places(student, teacher, self.places)
        projected: Tensor = self.linear[width](student)
        return projected, teacher

    def _width(self, student: Tensor, teacher: Tensor | None) -> int:
        if teacher is not None:
            return teacher.shape[1]
        if self.out_features is not None:
            return self.out_features
        # Of an evaluation nothing but the student is known.
        return int(next(iter(self.linear), student.shape[1]))


def match_places(student: Tensor, teacher: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """Both features with the same places, as :class:`Projector` says.

    Shape:
        - student, teacher: [N, D, ...], each with its own D
        - output: likewise, with the same places

    Example:
        >>> import torch
        >>> grid, tokens = torch.zeros(2, 8, 7, 7), torch.zeros(2, 6, 1, 5)
        >>> [x.shape for x in match_places(grid, torch.zeros(2, 6, 3, 4), "resize")]
        [torch.Size([2, 8, 3, 4]), torch.Size([2, 6, 3, 4])]
        >>> [x.shape for x in match_places(grid, tokens, "resize")]
        [torch.Size([2, 8]), torch.Size([2, 6])]
    """
    if student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    vector = student.ndim == 2 or teacher.ndim == 2
    if vector or places == "mean" or (student.shape[2] == 1) != (teacher.shape[2] == 1):
        return mean_of_places(student), mean_of_places(teacher)
    return F.interpolate(student, teacher.shape[2:], mode="bilinear"), teacher


def mean_of_places(features: Tensor) -> Tensor:
    """The average over a map's places or a sequence's tokens; vectors as they are.

    Shape:
        - features: [N, D, ...]
        - output: [N, D]

    Example:
        >>> import torch
        >>> mean_of_places(torch.tensor([[[[1.0, 3.0]]]]))
        tensor([[2.]])
    """
    return features if features.ndim == 2 else features.flatten(2).mean(2)
