import numpy as np
import pytest
import torch

from fdkd_lightning.ops.divergence import kl_divergence, softened_kl


def by_hand(student: np.ndarray, teacher: np.ndarray, temperature: float) -> np.ndarray:
    """T^2 KL of each row."""
    values = []
    for s, t in zip(student / temperature, teacher / temperature, strict=True):
        q, p = np.exp(s) / np.exp(s).sum(), np.exp(t) / np.exp(t).sum()
        values.append(temperature**2 * sum(p * np.log(p / q)))
    return np.array(values)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("size", [(), (2, 3)])
def test_the_formula(size: tuple[int, ...], temperature: float) -> None:
    student, teacher = np.random.default_rng(0).normal(size=(2, 4, 5, *size))
    rows = (np.moveaxis(x, 1, -1).reshape(-1, 5) for x in (student, teacher))
    expected = by_hand(*rows, temperature).reshape(4, *size)
    tensors = torch.from_numpy(student), torch.from_numpy(teacher)
    each = softened_kl(*tensors, temperature, "none")
    np.testing.assert_allclose(each, expected, rtol=1e-12)
    for reduction, divisor in (("mean", 1), ("class_mean", 5)):
        found = softened_kl(*tensors, temperature, reduction)
        assert found.item() == pytest.approx(expected.mean() / divisor, rel=1e-12)


def test_log_probabilities_worked_out_by_hand() -> None:
    teacher, student = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert kl_divergence(student, teacher).item() == pytest.approx(expected, abs=1e-7)
    assert kl_divergence(student, teacher, "class_mean").item() == pytest.approx(expected / 2)
    assert kl_divergence(student, teacher, "none").tolist() == pytest.approx([expected])


def test_only_the_student_gets_a_gradient() -> None:
    student, teacher = torch.randn(2, 3, 4, dtype=torch.float64).unbind()
    student.requires_grad_()
    teacher.requires_grad_()
    softened_kl(student, teacher, 2.0).backward()
    # T / N (q - p) at temperature T.
    expected = 2 / 3 * ((student / 2).softmax(1) - (teacher / 2).softmax(1))
    torch.testing.assert_close(student.grad, expected.detach())
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    student, teacher = torch.randn(2, 3, 4).to(dtype)
    found = softened_kl(student, teacher, 4.0)
    assert found.dtype == torch.float32
    assert torch.equal(found, softened_kl(student.float(), teacher.float(), 4.0))


def test_an_unknown_reduction_is_an_error() -> None:
    for function in (kl_divergence, softened_kl):
        with pytest.raises(ValueError, match="reduction='sum' is unknown: choose 'none', 'mean'"):
            function(torch.zeros(1, 2), torch.zeros(1, 2), reduction="sum")
