from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    BinaryKDLoss,
    CompositeLoss,
    CRDLoss,
    DistillationLoss,
    DISTLoss,
    DKDLoss,
    FDKDLoss,
    FeatureLoss,
    KDLoss,
    LabelSmoothingLoss,
    LayerwiseLoss,
    MFHLoss,
    MultiLabelTask,
    MutualLoss,
    OneClassTask,
    RegressionKDLoss,
    RegressionTask,
    ShuffledPairs,
    Task,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.types import Bands, Output

TASKS = (OneClassTask, MultiLabelTask, RegressionTask)


class Bare(nn.Module):
    """A loss that has no reduction."""

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return (outputs - target).abs().mean()


@pytest.mark.parametrize("task", TASKS)
def test_a_loss_is_copied_and_keeps_its_reduction(task: Callable[..., Task]) -> None:
    loss = task().losses[0]()
    made = task(loss)
    assert loss.reduction == "mean"
    assert made.loss is not loss


@pytest.mark.parametrize("task", TASKS)
def test_losses_that_cannot_be_masked_are_refused(task: Callable[..., Task]) -> None:
    kind = task().losses[0]
    for reduction in ("sum", "none"):
        with pytest.raises(ValueError, match=f"{kind.__name__} has reduction='{reduction}'"):
            task(kind(reduction=reduction))
    for loss in (Bare(), 3, "mse"):
        with pytest.raises(TypeError, match=f"{type(loss).__name__}, without a `reduction`"):
            task(loss)


@pytest.mark.parametrize("task", TASKS)
def test_a_rank_without_samples_adds_nothing(task: Callable[..., Task]) -> None:
    assert task().nothing(torch.device("cpu")).item() == 0


def fdkd(**options: Any) -> FDKDLoss:
    return FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(), **options)


NEEDS_A_CLASS: list[tuple[Callable[[], DistillationLoss], str]] = [
    (KDLoss, "KDLoss"),
    (DISTLoss, "DISTLoss"),
    (DKDLoss, "DKDLoss"),
    (lambda: CRDLoss(4, 8, 4), "CRDLoss"),
    (MFHLoss, "MFHLoss"),
    (LabelSmoothingLoss, "LabelSmoothingLoss"),
    (lambda: fdkd(lambda_soft=1.0), "FDKDLoss"),
    (lambda: fdkd(void="exclude"), "FDKDLoss"),
    (lambda: ShuffledPairs(FeatureLoss(), within="class"), "ShuffledPairs"),
    (lambda: CompositeLoss({"f": FeatureLoss(), "kd": KDLoss()}), "KDLoss"),
    (lambda: MutualLoss(KDLoss()), "KDLoss"),
    (lambda: LayerwiseLoss(KDLoss(), stages=[0]), "KDLoss"),
]


@pytest.mark.parametrize(("make", "name"), NEEDS_A_CLASS)
def test_criteria_of_one_class_refuse_other_tasks_by_name(
    make: Callable[[], DistillationLoss], name: str
) -> None:
    make().set_task(OneClassTask())
    with pytest.raises(ValueError, match=rf"^{name} is for one class.*BCEWith.*BinaryKDLoss"):
        make().set_task(MultiLabelTask())
    with pytest.raises(ValueError, match=rf"^{name} is for one.*MSELoss \(numbers\).*RegressionKD"):
        make().set_task(RegressionTask())


@pytest.mark.parametrize("kind", TASKS)
def test_criteria_of_features_and_shared_heads_take_every_task(kind: Callable[..., Task]) -> None:
    task = kind()
    composite = CompositeLoss({"f": FeatureLoss(), "fdkd": fdkd()})
    for criterion in (FeatureLoss(), composite, ShuffledPairs(fdkd()), MutualLoss(FeatureLoss())):
        criterion.set_task(task)
    assert composite.losses["fdkd"].task is task


def test_kd_of_another_task_refuses_classes() -> None:
    for criterion in (BinaryKDLoss(), RegressionKDLoss()):
        with pytest.raises(ValueError, match=r"CrossEntropyLoss \(one class .*choose KDLoss"):
            criterion.set_task(OneClassTask())


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("kind", [MultiLabelTask, RegressionTask])
def test_shared_heads_learn_with_the_task_loss(kind: Callable[..., Task], columns: int) -> None:
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, torch.nan, 1.0]])[:, :columns]
    student, teacher = (Bands(torch.randn(2, columns), torch.randn(2, columns)) for _ in range(2))
    task = kind()
    expected = sum(task(band, target) for bands in (student, teacher) for band in bands)
    assert torch.equal(alignment_loss(student, teacher, target, task=task), expected)  # type: ignore[arg-type]
    maps = Bands(*(x[..., None, None].expand(-1, -1, 2, 3) for x in student))
    torch.testing.assert_close(
        alignment_loss(maps, None, target, task=task),
        alignment_loss(student, None, target, task=task),
    )


def test_fdkd_sizes_and_trains_its_heads_for_a_single_number() -> None:
    for logits, target in ((torch.zeros(2), torch.ones(2)), (torch.zeros(2, 1), torch.ones(2, 1))):
        criterion, output = fdkd(), Output(torch.randn(2, 8), logits)
        criterion.set_task(RegressionTask())
        criterion.build(output, output)
        terms = criterion(output, output, target)
        assert terms["align"].isfinite()
        assert criterion.alignment is not None
        assert criterion.alignment.low.out_features == 1


def test_mutual_learning_trains_the_teacher_with_the_task_loss() -> None:
    student = Output(torch.zeros(2, 4), torch.zeros(2, 1, requires_grad=True))
    teacher = Output(torch.zeros(2, 4), torch.tensor([[3.0], [5.0]], requires_grad=True))
    criterion = MutualLoss(RegressionKDLoss())
    criterion.set_task(RegressionTask())
    terms = criterion(student, teacher, torch.tensor([1.0, torch.nan]))
    assert terms["teacher/task"].item() == 4
    assert terms["student/kd"].item() == terms["teacher/kd"].item() == 17
