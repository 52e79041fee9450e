from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import DistillationLoss, FDKDLoss, FeatureLoss, KDLoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.training.distillation_step import DistillationStep, StepResult
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teachers import FrozenTeachers
from fdkd_lightning.types import Output

LOSS = torch.tensor(1.0)


class Teacher(nn.Module):
    """Twice the input, and its first three entries."""

    def forward(self, x: Tensor) -> Output:
        return Output(2 * x, x[:, :3])


def new_step(
    criterion: DistillationLoss | None = None, projector: Projector | None = None, **settings: Any
) -> DistillationStep:
    distiller = Distiller(criterion or FeatureLoss(), ["audio"], projector)
    return DistillationStep(FrozenTeachers({"audio": Teacher()}), distiller, **settings)


def batch(size: int = 4) -> dict[str, Any]:
    x = torch.arange(8.0 * size).reshape(size, 8)
    return {"audio": x, "label": torch.arange(size) % 3}


def student(size: int = 4, width: int = 8) -> Output:
    return Output(torch.ones(size, width), torch.zeros(size, 3))


def run(step: DistillationStep, loss: Tensor | None = LOSS, **settings: Any) -> StepResult:
    defaults: dict[str, Any] = {"student": student(), "batch": batch(), "size": 4}
    return step(nn.Identity(), loss, **(defaults | settings))


def test_the_terms_are_added_to_the_task_loss() -> None:
    expected = (2 * batch()["audio"] - 1).square().mean()
    for loss, total in ((LOSS, 1 + expected), (None, expected)):
        result = run(new_step(), loss)
        torch.testing.assert_close(result.loss, total)
        torch.testing.assert_close(result.logged, {"feature": expected})
        assert result.is_complete


def test_all_parts_are_sized_by_a_batch() -> None:
    step = new_step(FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead()), Projector())
    assert not step.distiller.is_sized()
    step.build(student(2, 5), batch(2))
    assert step.distiller.is_sized()
    assert list(run(step, student=student(4, 5)).logged) == ["low", "high", "align"]


def test_a_projector_that_the_criterion_leaves_out_gets_a_zero_gradient() -> None:
    step = new_step(KDLoss(), Projector())
    step.build(student(), batch())
    run(step, LOSS.clone().requires_grad_()).loss.backward()
    for p in step.distiller.parameters():
        assert p.grad is not None
        assert not p.grad.any()


@pytest.mark.parametrize(
    "settings",
    [
        {"student": None},
        {"batch": batch() | {"present": {"audio": torch.tensor([1, 0, 0, 0]).bool()}}},
    ],
    ids=["no student", "one sample"],
)
def test_without_samples_every_parameter_gets_a_zero_gradient(settings: dict[str, Any]) -> None:
    module, step = nn.Linear(2, 2), new_step()
    defaults: dict[str, Any] = {"student": student(), "batch": batch(), "size": 4}
    result = step(module, LOSS, **(defaults | settings))
    assert result.logged == {}
    assert not result.is_complete
    assert result.loss == LOSS
    result.loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())


def test_a_teachers_first_output_is_checked_once_a_run() -> None:
    step, infinite = new_step(), batch()
    infinite["audio"] = torch.full((4, 8), torch.inf)
    run(step)
    run(step, batch=infinite)
    step.restart()
    with pytest.raises(ValueError, match="audio teacher's features are NaN or infinite"):
        run(step, batch=infinite)


class Named(FeatureLoss):
    """Logs a value under the name of its term."""

    def logged_values(self) -> dict[str, Tensor]:
        return {"feature": torch.ones(())}


@pytest.mark.parametrize(
    ("criterion", "reserved"), [(Named(), ()), (FeatureLoss(), ("task", "feature"))]
)
def test_a_name_that_is_taken_is_an_error(
    criterion: DistillationLoss, reserved: tuple[str, ...]
) -> None:
    name = type(criterion).__name__
    with pytest.raises(ValueError, match=f"{name} uses the name feature, .* give it another name"):
        run(new_step(criterion, reserved_names=reserved))
