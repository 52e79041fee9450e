"""FitNets: a stage of the teacher as a hint, which a small network on the student's regresses."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.base import (
    DistillationLoss,
    require_batch,
    require_same_shape,
    require_teacher,
    stage_map,
)
from fdkd_lightning.types import Output


class HintLoss(DistillationLoss):
    r"""Mean squared error of one stage's maps, the student's regressed to the teacher's shape.

    .. math::
        w \cdot \frac{1}{N C H W} \sum \big(r(f^s) - f^t\big)^2,
        \quad r = \mathrm{ReLU} \circ \mathrm{BN} \circ \mathrm{conv}

    The term is ``hint``. What the convolution is follows from the sizes, height and width each for
    itself (the official code looks at the height alone):

    - the teacher's half as large: kernel 3, stride 2, padding 1;
    - the teacher's twice as large: a transposed convolution, kernel 4, stride 2, padding 1;
    - the student's at least as large otherwise: kernel 1 + s - t, as in the paper.

    In a transposed convolution the third is kernel 1 + s - t, stride 1, padding s - t, which is
    the same map, so only a height that halves and a width that doubles (or the reverse) cannot
    be joined.

    The paper trains the student up to this stage by the hint first, with no BN in r and a factor
    of 1/2; here, as in the official code of both benchmarks, the hint joins the task loss
    throughout. Because r ends in a ReLU, its targets should too.

    Args:
        stage: Which of the maps. The official "hint layer 2" counts the stem, which
            ``Output.maps`` leave out: it is stage 1.
        weight: Factor w of the term; mdistiller and RepDistiller have 100.

    Shape:
        - maps: [N, C, H, W], each network with its own C, H and W; logits and target are not used

    Raises:
        ValueError: If there is no teacher or no such stage, no convolution fits the sizes, or
            BN meets one value alone.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        Romero et al., "FitNets: Hints for Thin Deep Nets" (arXiv 1412.6550), Eq. 3;
        megvii-research/mdistiller, distillers/FitNet.py and _common.py (ConvReg);
        HobbitLong/RepDistiller, distiller_zoo/FitNet.py.

    Example:
        >>> def output(size):
        ...     return Output(torch.zeros(2, 8), torch.zeros(2, 3), (torch.zeros(2, *size),))
        >>> student, teacher = output((4, 8, 6)), output((5, 4, 3))
        >>> loss = HintLoss(stage=0)
        >>> loss.build(student, teacher)
        >>> loss.regressor[0].stride, list(loss(student, teacher, torch.tensor([0, 1])))
        ((2, 2), ['hint'])
    """

    regressor: nn.Sequential | None

    def __init__(self, stage: int = 1, weight: float = 100.0) -> None:
        super().__init__()
        self.stage = stage
        self.weight = weight
        self.regressor = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create r for the shapes of the two maps."""
        own, its = self._maps(student, require_teacher(self, teacher))
        if self.regressor is None:
            self.regressor = nn.Sequential(
                _convolution(own.shape, its.shape), nn.BatchNorm2d(its.shape[1]), nn.ReLU()
            )

    def single_teacher_only(self) -> bool:
        """It does: the regressor speaks one network's language."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        own, its = self._maps(student, require_teacher(self, teacher))
        if self.regressor is None:
            raise RuntimeError(
                "HintLoss has no regressor yet: call build(student, teacher) with the outputs of "
                "a batch before the first forward"
            )
        if self.training and its.shape[2:].numel() == 1:
            require_batch(self, len(its), 2, "BatchNorm over one value has nothing to normalise by")
        regressed = self.regressor(own.to(next(self.regressor.parameters()).dtype))
        require_same_shape(
            "regressed maps", regressed, its, "the loss was built for inputs of another size"
        )
        dtype = torch.promote_types(own.dtype, torch.float32)
        return {"hint": self.weight * F.mse_loss(regressed.to(dtype), its.detach().to(dtype))}

    def _maps(self, student: Output, teacher: Output) -> tuple[Tensor, Tensor]:
        return stage_map("student", student, self.stage), stage_map("teacher", teacher, self.stage)


class _Axis(NamedTuple):
    """How an axis is convolved."""

    kernel: int
    stride: int
    padding: int


HALVE, DOUBLE = _Axis(3, 2, 1), _Axis(4, 2, 1)


def _axis(student: int, teacher: int) -> _Axis | None:
    if student == 2 * teacher:
        return HALVE
    if teacher == 2 * student:
        return DOUBLE
    return _Axis(1 + student - teacher, 1, 0) if student >= teacher else None


def _convolution(student: torch.Size, teacher: torch.Size) -> nn.Module:
    """The convolution from a map of one shape to one of another."""
    axes = [_axis(s, t) for s, t in zip(student[2:], teacher[2:], strict=True)]
    found = [axis for axis in axes if axis is not None]
    transposed = DOUBLE in found
    if len(found) < len(axes) or (transposed and HALVE in found):
        raise ValueError(
            f"no regressor takes the student's map of size {list(student[2:])} to the teacher's "
            f"{list(teacher[2:])}: the teacher's may be twice as large or no larger, and not half "
            "as large along the other axis then. Choose another `stage`, or other input sizes"
        )
    if transposed:
        # Stride 1 and padding k - 1 make a transposed convolution the one without padding.
        found = [
            axis if axis.stride > 1 else axis._replace(padding=axis.kernel - 1) for axis in found
        ]
    kernel, stride, padding = ((high, wide) for high, wide in zip(*found, strict=True))
    layer = nn.ConvTranspose2d if transposed else nn.Conv2d
    return layer(student[1], teacher[1], kernel, stride, padding)
