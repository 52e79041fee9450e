"""Cost of each method's criterion, as a share of the student's own training step."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.measure import Limits, measure
from fdkd_lightning.benchmark.row import Row, timed_rows
from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
from fdkd_lightning.losses import (
    AFDLoss,
    ATLoss,
    C2KDLoss,
    CIRKDLoss,
    CIRKDv2Loss,
    CRDLoss,
    DenseC2KDLoss,
    DistillationLoss,
    DISTLoss,
    DKDLoss,
    FDKDLoss,
    FeatureLoss,
    FreeKDLoss,
    HintLoss,
    InfoNCELoss,
    KDLoss,
    LabelSmoothingLoss,
    LayerwiseLoss,
    MFHLoss,
    PKDLoss,
    RKDLoss,
    ShuffledPairs,
    SPLoss,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.models.semantic_fpn import SemanticFPN
from fdkd_lightning.training.published_optimizer import published_sgd
from fdkd_lightning.types import Output

LAYERS, CHANNELS = (2, 2, 2, 2), (64, 128, 256, 512)
"""Of a ResNet-18."""
CLASSES = 100


def _fdkd(heads: bool = True) -> FDKDLoss:
    return FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead() if heads else None)


VECTOR_METHODS: Mapping[str, Callable[[], DistillationLoss]] = {
    "KD": KDLoss,
    "DKD": DKDLoss,
    "DIST": DISTLoss,
    "feature MSE": FeatureLoss,
    "FitNets": HintLoss,
    "AT": ATLoss,
    "AFD": AFDLoss,
    "SP": SPLoss,
    "RKD": RKDLoss,
    "PKD": PKDLoss,
    "CRD": CRDLoss,
    "InfoNCE": InfoNCELoss,
    "C2KD": C2KDLoss,
    "MFH": MFHLoss,
    "FreeKD": FreeKDLoss,
    "label smoothing": LabelSmoothingLoss,
    "shuffled pairs (KD)": partial(ShuffledPairs, KDLoss()),
    "FD-CMKD": _fdkd,
    "FD-CMKD, last stage's map": partial(
        LayerwiseLoss, _fdkd(heads=False), [-1], positions="resize"
    ),
}
DENSE_METHODS: Mapping[str, Callable[[], DistillationLoss]] = {
    "KD": KDLoss,
    "C2KD, dense": DenseC2KDLoss,
    "CIRKD": CIRKDLoss,
    "CIRKDv2": CIRKDv2Loss,
    "FD-CMKD without heads": partial(_fdkd, heads=False),
}

LATE = 100
"""An epoch in which every criterion is complete."""


class CriterionRun:
    """A criterion between outputs of two networks, whose forward and backward pass is timed alone.

    Args:
        criterion: The criterion.
        student: The student's output, from which the backward pass of its network would go on.
        teacher: The teacher's output.
        target: The labels.

    Example:
        >>> outputs = (Output(torch.randn(4, 8), torch.randn(4, 3)) for _ in range(2))
        >>> CriterionRun(KDLoss(), *outputs, torch.tensor([0, 1, 2, 0]))() > 0
        tensor(True)
    """

    def __init__(
        self, criterion: DistillationLoss, student: Output, teacher: Output, target: Tensor
    ) -> None:
        self.student = Output(
            student.features.detach().requires_grad_(),
            student.logits.detach().requires_grad_(),
            tuple(x.detach().requires_grad_() for x in student.maps),
            torch.arange(len(target), device=target.device),
        )
        self.teacher, self.target = teacher, target
        with torch.no_grad():
            criterion.build(student, teacher)
        self.criterion = criterion.to(target.device).train()
        criterion.set_epoch(LATE)

    def __call__(self) -> Tensor:
        """Return the sum of the terms, after its backward pass."""
        for x in (self.student.features, self.student.logits, *self.student.maps):
            x.grad = None
        for parameter in self.criterion.parameters():
            parameter.grad = None
        terms = self.criterion(self.student, self.teacher, self.target)
        total = torch.stack([*terms.values()]).sum()
        torch.autograd.backward(total)
        return total.detach()


def measure_methods(
    size: str,
    methods: Mapping[str, Callable[[], DistillationLoss]],
    network: Callable[[], nn.Module],
    shape: tuple[int, ...],
    limits: Limits,
    dense: bool = False,
) -> list[Row]:
    """Time the criteria and the student's own step side by side.

    Args:
        size: Name of the size.
        methods: Name -> criterion.
        network: Makes the student, and the teacher.
        shape: Shape of the input.
        limits: How often.
        dense: Whether labels are of pixels.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    student, teacher = network().to(device), network().to(device).eval()
    inputs = torch.randn(shape, device=device)
    with torch.no_grad():
        outputs = student(inputs), teacher(torch.randn_like(inputs))
    classes, count = outputs[0].logits.shape[1], len(inputs)
    target = torch.arange(count, device=device) % classes
    if dense:
        # Blocks of pixels, each of a class.
        rows, columns = (torch.arange(side, device=device) // 8 for side in shape[2:])
        target = (target[:, None, None] + rows[:, None] + columns) % classes
    optimizer = published_sgd(student.parameters())

    def step() -> None:
        loss = nn.functional.cross_entropy(student(inputs).logits, target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    own = "student step"
    runs: dict[str, Callable[[], object]] = {own: step}
    runs |= {name: CriterionRun(make(), *outputs, target) for name, make in methods.items()}
    return timed_rows("methods", size, measure(runs, limits), dict.fromkeys(methods, own))


CASE = Case(
    "methods",
    "Forward and backward pass of each criterion alone, with its default arguments, as a share of "
    "the student's own training step.",
    (
        partial(
            measure_methods,
            "ResNet-18, 64x3x96x96",
            VECTOR_METHODS,
            partial(ResNet, CLASSES, 3, LAYERS, CHANNELS),
            (64, 3, 96, 96),
        ),
        partial(
            measure_methods,
            "pyramid on ResNet-18, 8x3x96x96",
            DENSE_METHODS,
            partial(SemanticFPN, 8, 3, LAYERS, CHANNELS, stem_pool=True),
            (8, 3, 96, 96),
            dense=True,
        ),
    ),
)
