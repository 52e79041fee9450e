import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from fdkd_lightning.losses import BinaryKDLoss, binary_kd_loss
from fdkd_lightning.types import Output


def test_a_value_worked_out_by_hand() -> None:
    # T=2 leaves the teachers log 3 and 0: 3/4 and 1/2, against 1/2 twice.
    teacher = torch.tensor([[9.0, 1.0]], dtype=torch.float64).log()
    loss = binary_kd_loss(torch.zeros(1, 2, dtype=torch.float64), teacher, temperature=2)
    expected = 4 * (3 / 4 * torch.tensor(1.5).log() + 1 / 4 * torch.tensor(0.5).log()) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(5, 4), (6,), (2, 3, 4, 5), (3, 1)])
def test_it_is_the_mean_divergence_of_torchs_bernoullis(
    shape: tuple[int, ...], temperature: float
) -> None:
    student, teacher = torch.randn(2, *shape, dtype=torch.float64)
    pair = (Bernoulli(logits=x / temperature) for x in (teacher, student))
    expected = temperature**2 * kl_divergence(*pair).mean()
    torch.testing.assert_close(binary_kd_loss(student, teacher, temperature), expected)


def test_certain_predictions_stay_finite_and_equal_ones_are_zero() -> None:
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = binary_kd_loss(student, torch.tensor([[-1e4, 1e4]]))
    loss.backward()
    assert loss.item() == 1e4
    assert student.grad is not None
    assert student.grad.tolist() == [[0.5, -0.5]]
    assert binary_kd_loss(student, student).item() == 0
    assert binary_kd_loss(student[:0], student[:0]).item() == 0


def test_gradients_and_precision() -> None:
    student, teacher = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: binary_kd_loss(z, teacher.detach(), 2.0), student)
    loss = binary_kd_loss(student, teacher)
    loss.backward()
    half = binary_kd_loss(student.bfloat16(), teacher.bfloat16())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss.item(), rel=2e-2)


def test_the_term_has_its_weight_and_the_teacher_no_gradient() -> None:
    student, teacher = (Output(torch.ones(2, 8), torch.randn(2, 3).requires_grad_()) for _ in "st")
    terms = BinaryKDLoss(temperature=2, weight=0.5)(student, teacher, torch.zeros(2, 3))
    assert terms["kd"].item() == binary_kd_loss(student.logits, teacher.logits, 2).item() / 2
    terms["kd"].backward()
    assert teacher.logits.grad is None


def test_logits_of_other_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\], the teacher's \[2, 4\]: train both"):
        binary_kd_loss(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        BinaryKDLoss(temperature=0)
