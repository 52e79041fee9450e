"""FitNets: a map of the teacher as a hint, to which a convolution maps one of the student's."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_batch, require_same_shape, stage_map
from fdkd_lightning.ops.checks import check_count, check_weights
from fdkd_lightning.ops.mean import mean_squared_error
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


class HintLoss(DistillationLoss):
    r"""Mean squared error between the teacher's map and a regression from the student's map.

    .. math::
        w \cdot \frac{1}{N C H W} \sum \big(r(f^s) - f^t\big)^2,
        \quad r = \mathrm{ReLU} \circ \mathrm{BN} \circ \mathrm{conv}

    The term is ``hint``. The convolution follows from the maps' sizes, separately for height and
    width (the official code uses the height only):

    - the teacher's size is half the student's: kernel 3, stride 2, padding 1;
    - the teacher's size is twice the student's: transposed convolution, kernel 4, stride 2,
      padding 1;
    - otherwise, with the student's size s at least the teacher's size t: kernel 1 + s - t, as in
      the paper.

    In a transposed convolution the third case is kernel 1 + s - t, stride 1, padding s - t, which
    is equivalent. Therefore only maps where one axis halves and the other doubles have no
    convolution.

    In the paper the hint trains the student's first stages before all else, r has no BN and the
    loss has a factor of 1/2. Here, as in both benchmarks' code, the hint is added to the task loss
    during the whole training. r ends in a ReLU, so the teacher's map should, too.

    Args:
        stage: Index into ``Output.maps``. The official "hint layer 2" counts the stem, which
            ``Output.maps`` omits: it is stage 1.
        weight: Factor w of the term; mdistiller and RepDistiller set 100.

    Shape:
        - maps: [N, C, H, W]; C, H and W may differ between the networks
        - logits, target: not used

    Raises:
        ValueError: If the weight is negative, there is no teacher or no such stage, no convolution
            fits the sizes, the maps have another size than in :meth:`build`, or BN gets fewer than
            two values per channel in training.
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
        check_count("stage", stage, None, example=1)
        check_weights(weight=weight)
        self.stage = stage
        self.weight = weight
        self.regressor = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the regressor for the shapes of the two maps."""
        student_map, teacher_map = self._maps(student, require_teacher(self, teacher))
        if self.regressor is None:
            self.regressor = nn.Sequential(
                _convolution(student_map.shape, teacher_map.shape),
                nn.BatchNorm2d(teacher_map.shape[1]),
                nn.ReLU(),
            )

    def single_teacher_only(self) -> bool:
        """Return True: the regressor maps to one teacher's map."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        student_map, teacher_map = self._maps(student, require_teacher(self, teacher))
        if self.regressor is None:
            raise RuntimeError(
                "HintLoss has no regressor yet: call build(student, teacher) with the outputs of "
                "a batch before the first forward"
            )
        if self.training:
            why = "BatchNorm needs more than one value per channel"
            require_batch(
                self, len(teacher_map), 2 if teacher_map.shape[2:].numel() == 1 else 1, why
            )
        regressed = self.regressor(student_map.to(next(self.regressor.parameters()).dtype))
        require_same_shape(
            "regressed maps", regressed, teacher_map, "the loss was built for another input size"
        )
        regressed = at_least_float32(regressed)
        error = mean_squared_error(regressed, teacher_map.detach().to(regressed.dtype))
        return {"hint": self.weight * error}

    def _maps(self, student: Output, teacher: Output) -> tuple[Tensor, Tensor]:
        return stage_map("student", student, self.stage), stage_map("teacher", teacher, self.stage)


class _Axis(NamedTuple):
    """Convolution along one axis."""

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
    """The convolution from a map of one shape to a map of another."""
    axes = [_axis(s, t) for s, t in zip(student[2:], teacher[2:], strict=True)]
    found = [axis for axis in axes if axis is not None]
    transposed = DOUBLE in found
    if len(found) < len(axes) or (transposed and HALVE in found):
        raise ValueError(
            f"no convolution maps the student's map of size {list(student[2:])} to the teacher's "
            f"{list(teacher[2:])}: along each axis the teacher's must be twice as large or no "
            "larger, and not double one axis and halve the other. Choose another `stage`, or other "
            "input sizes"
        )
    if transposed:
        # With stride 1 and padding k - 1 it equals the convolution without padding.
        found = [
            axis if axis.stride > 1 else axis._replace(padding=axis.kernel - 1) for axis in found
        ]
    kernel, stride, padding = ((high, wide) for high, wide in zip(*found, strict=True))
    layer = nn.ConvTranspose2d if transposed else nn.Conv2d
    return layer(student[1], teacher[1], kernel, stride, padding)
