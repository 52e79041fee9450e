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


INF = float("inf")


def test_a_class_that_the_teacher_masks_adds_nothing() -> None:
    # The teacher has (1/4, 3/4, 0), the student (1/2, 1/4, 1/4).
    teacher = torch.tensor([[1.0, 3.0, 0.0]]).log()
    student = torch.tensor([[2.0, 1.0, 1.0]]).log().requires_grad_()
    found = softened_kl(student, teacher)
    assert found.item() == pytest.approx(np.log(1 / 2) / 4 + 3 * np.log(3) / 4, rel=1e-6)
    found.backward()
    assert student.grad is not None  # q - p
    assert student.grad.tolist()[0] == pytest.approx([1 / 4, -1 / 2, 1 / 4])


def test_a_class_that_both_mask_is_as_if_it_were_not_there() -> None:
    teacher, student = torch.randn(2, 4, 3).unbind()
    mask = torch.full((4, 1), -INF)
    student.requires_grad_()
    found = softened_kl(torch.cat([student, mask], 1), torch.cat([teacher, mask], 1), 2.0)
    expected = softened_kl(student, teacher, 2.0)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    (a,), (b,) = (torch.autograd.grad(x, student) for x in (found, expected))
    torch.testing.assert_close(a, b)


def test_a_class_that_the_student_alone_masks_is_an_error() -> None:
    masked = torch.tensor([[0.0, -INF]])
    with pytest.raises(ValueError, match=r"student's logits mask a class \(-inf\) that the teach"):
        softened_kl(masked, torch.zeros(1, 2))


def test_nan_stays_nan_and_a_sample_without_classes_is_nan() -> None:
    good = torch.zeros(1, 2)
    for bad in (torch.nan, INF):
        x = torch.tensor([[0.0, bad]])
        assert softened_kl(good, x).isnan()
        assert softened_kl(x, good).isnan()
    assert softened_kl(good, torch.full((1, 2), -INF)).isnan()


def test_no_samples_are_zero_with_a_gradient() -> None:
    student = torch.zeros(0, 3, requires_grad=True)
    for reduction in ("mean", "class_mean"):
        loss = softened_kl(student, torch.zeros(0, 3), reduction=reduction)  # type: ignore[arg-type]
        loss.backward()
        assert loss.item() == 0


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), INF])
def test_a_temperature_must_be_positive_and_finite(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature={temperature} must be above 0"):
        softened_kl(torch.zeros(1, 2), torch.zeros(1, 2), temperature)


def test_logits_must_fit_each_other() -> None:
    with pytest.raises(ValueError, match=r"student's logits .* \[1, 2\], the teacher's \[4, 2\]"):
        softened_kl(torch.zeros(1, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"the teacher's logits has dtype torch\.complex64"):
        softened_kl(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"\[2, 0\] have no class"):
        softened_kl(torch.zeros(2, 0), torch.zeros(2, 0))


def test_it_compiles_as_one_graph() -> None:
    student, teacher = torch.randn(2, 3, 4).unbind()
    compiled = torch.compile(softened_kl, fullgraph=True, backend="eager")
    assert torch.equal(compiled(student, teacher, 4.0), softened_kl(student, teacher, 4.0))
