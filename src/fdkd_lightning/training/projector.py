"""Map a student's features to the width, grid and rank of a teacher's."""

from typing import get_args

from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_choice, check_count
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.spatial import Positions, arrange
from fdkd_lightning.ops.tensor_checks import check_tensor


class Projector(nn.Module):
    r"""Map the student's features to each teacher's width by a trained linear layer.

    .. math::
        X^s \mapsto W_{D_t} \, \rho(X^s) + b_{D_t}, \quad X^t \mapsto \rho(X^t)

    :math:`\rho` averages or resizes positions, the pixels of a map or the tokens of a sequence, as
    in :class:`~fdkd_lightning.LayerwiseLoss`. Positions of two modalities do not correspond, so
    that ``"mean"``, one vector per sample, is the default. Where pairs are registered (colour and
    depth), ``"resize"`` brings the student's positions to the teacher's grid. The projector is not
    needed after training.

    Args:
        out_features: Width without a teacher (the teacher-free control), usually that of the
            teacher, so that the heads are the same; None: the student's width.
        positions: ``"mean"`` or ``"resize"``.

    Shape:
        - student: [N, D], [N, D, H, W] or, of tokens, [N, D, 1, L], in which zeros are padding
        - teacher: [N, D', ...], likewise
        - output: a tuple of both, [N, D'], or [N, D', H, W] with the teacher's positions

    Raises:
        ValueError: If ``positions`` is unknown, ``out_features`` is below 1, features have another
            rank or number of samples, or ``"resize"`` gets positions that cannot be resized to each
            other, such as a vector and a map, or a sequence and a map.
        RuntimeError: If it is called before :meth:`build`.

    Example:
        >>> import torch
        >>> projector = Projector()
        >>> student, teacher = torch.randn(2, 8, 7, 7), torch.randn(2, 16)
        >>> projector.build(student, teacher)
        >>> [x.shape for x in projector(student, teacher)]
        [torch.Size([2, 16]), torch.Size([2, 16])]
    """

    def __init__(self, out_features: int | None = None, positions: Positions = "mean") -> None:
        super().__init__()
        check_choice("positions", positions, get_args(Positions))
        if out_features is not None:
            check_count("out_features", out_features, example=512)
        self.out_features = out_features
        self.positions = positions
        # Teachers of the same width share the layer, and with it the heads.
        self.linear = nn.ModuleDict()

    def build(self, student: Tensor, teacher: Tensor | None) -> None:
        """Create the layer for this teacher's width, if there is none yet.

        Raises:
            ValueError: If features have another rank than 2 or 4.
        """
        for role, features in (("student", student), ("teacher", teacher)):
            if features is not None:
                _check(role, features)
        width = self._width(student, teacher)
        if str(width) not in self.linear:
            self.linear[str(width)] = ProbedLinear(student.shape[1], width)

    def forward(self, student: Tensor, teacher: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the projected student features and the arranged teacher features."""
        _check("student", student)
        if teacher is not None:
            _check("teacher", teacher)
            if len(student) != len(teacher):
                raise ValueError(
                    f"the student's features have shape {list(student.shape)}, the teacher's "
                    f"{list(teacher.shape)}: give the same samples, N of both"
                )
        width = str(self._width(student, teacher))
        if width not in self.linear:
            raise RuntimeError(
                f"Projector has no layer for features of width {width} yet: call build() with the "
                "outputs of one batch before the first forward"
            )
        size = student.shape[2:] if teacher is None else teacher.shape[2:]
        # Before the layer, whose bias would make padding non-zero.
        projected: Tensor = self.linear[width](arrange(student, size, self.positions))
        return projected, None if teacher is None else arrange(teacher, size, self.positions)

    def _width(self, student: Tensor, teacher: Tensor | None) -> int:
        if teacher is not None:
            return teacher.shape[1]
        if self.out_features is not None:
            return self.out_features
        # Evaluation knows only the student.
        return int(next(iter(self.linear), student.shape[1]))


def _check(role: str, features: Tensor) -> None:
    check_tensor(f"features of the {role}", features, "[N, D, ...]")
    if features.ndim not in (2, 4):
        raise ValueError(
            f"the {role}'s features have shape {list(features.shape)}: a projector takes "
            "[N, D], maps [N, D, H, W] or tokens as [N, D, 1, L]"
        )
