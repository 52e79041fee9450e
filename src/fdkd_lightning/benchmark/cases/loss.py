"""FDKDLoss against the paper's formulas written down one by one."""

import functools
import operator

import torch
from torch import Tensor, nn

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.measure import Limits, measure
from fdkd_lightning.benchmark.plain_fdkd import plain_fdkd
from fdkd_lightning.benchmark.row import Row, timed_rows, value_row
from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.types import Output

VECTORS = ((64, 512), (32, 128), (64, 2048))
MAPS = ((2, 256, 60, 80), (8, 64, 48, 64))
CLASSES = 10


class LossPair:
    """Both forms of the loss, with the same features and classifiers.

    Args:
        shape: Shape of the features; vectors [N, D] have classifiers, maps have none.
        dtype: Their type.

    Example:
        >>> pair = LossPair((4, 16))
        >>> pair.deviation() < 5e-6
        True
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        generator = torch.Generator().manual_seed(0)
        student, noise = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
        self.student = student.to(device).requires_grad_()
        self.teacher = (student + noise).to(device)
        self.target = torch.arange(shape[0], device=device) % CLASSES
        self.logits = torch.zeros(shape[0], CLASSES, device=device)
        heads = SharedAlignmentHead(shape[1], CLASSES) if len(shape) == 2 else None
        self.criterion = FDKDLoss(FrequencyDecoupler(), heads).to(device, dtype)
        self.linears: list[nn.Linear] = []
        for head in () if heads is None else (heads.low, heads.high):
            linear = nn.Linear(shape[1], CLASSES).to(device, dtype)
            linear.load_state_dict(head.state_dict())
            self.linears.append(linear)

    def fused(self) -> Tensor:
        """Return the loss of the package, after its backward pass."""
        student, teacher = (Output(x, self.logits) for x in (self.student, self.teacher))
        terms = self.criterion(student, teacher, self.target).values()
        return self._backward(functools.reduce(operator.add, terms))

    def plain(self) -> Tensor:
        """Return the plain form, after its backward pass."""
        return self._backward(plain_fdkd(self.student, self.teacher, self.target, self.linears))

    def deviation(self) -> float:
        """Return the larger of the relative deviations of value and gradient."""
        results = []
        for form in (self.fused, self.plain):
            value = form().detach()
            assert self.student.grad is not None
            results.append((value, self.student.grad.clone()))
        pairs = zip(*results, strict=True)
        return max(float((a - b).norm() / b.norm()) for a, b in pairs)

    def _backward(self, value: Tensor | int) -> Tensor:
        assert isinstance(value, Tensor)
        self.student.grad = None
        torch.autograd.backward(value)
        return value


def compare_forms(shape: tuple[int, ...], limits: Limits) -> list[Row]:
    """Time forward and backward passes of both forms, and compare their results."""
    pair = LossPair(shape)
    heads = " with heads" if pair.linears else ""
    size = "x".join(map(str, shape)) + heads
    forms = {"plain form": pair.plain, "FDKDLoss": pair.fused}
    rows = timed_rows("loss", size, measure(forms, limits), {"FDKDLoss": "plain form"})
    for dtype in (torch.float32, torch.float64):
        name = str(dtype).removeprefix("torch.")
        value = LossPair(shape, dtype).deviation()
        rows.append(value_row("loss", size, f"deviation, {name}", "relative", value))
    return rows


CASE = Case(
    "loss",
    "Forward and backward pass of FD-CMKD's loss, against the formulas written down one by one "
    "(two inverse transforms a network, a masked logarithm, four cross-entropies).",
    tuple(functools.partial(compare_forms, shape) for shape in (*VECTORS, *MAPS)),
)
