import pytest
import torch

from fdkd_lightning.losses import RegressionKDLoss, regression_kd_loss
from fdkd_lightning.types import Output


def test_a_value_worked_out_by_hand() -> None:
    student = torch.tensor([[1.0, 2.0], [0.0, 3.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 4.0], [3.0, 3.0]], dtype=torch.float64)
    assert regression_kd_loss(student, teacher).item() == (4 + 9) / 4
    assert regression_kd_loss(student[:, 0], teacher[:, 0]).item() == 9 / 2
    assert regression_kd_loss(student[:0], teacher[:0]).item() == 0


def test_gradients_and_precision() -> None:
    student, teacher = torch.randn(2, 3, 4, dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: regression_kd_loss(z, teacher), student)
    loss = regression_kd_loss(student.half(), teacher.half())
    assert loss.dtype == torch.float32


def test_the_term_has_its_weight_and_the_teacher_no_gradient() -> None:
    student, teacher = (Output(torch.ones(2, 8), torch.randn(2, 1).requires_grad_()) for _ in "st")
    terms = RegressionKDLoss(weight=0.5)(student, teacher, torch.zeros(2))
    assert terms["kd"].item() == regression_kd_loss(student.logits, teacher.logits).item() / 2
    terms["kd"].backward()
    assert teacher.logits.grad is None


def test_outputs_of_other_shapes_are_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\[2, 1\], the teacher's \[2\]: train both"):
        regression_kd_loss(torch.zeros(2, 1), torch.zeros(2))
