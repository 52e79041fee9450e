from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fdkd_lightning.losses.non_target import non_target_kl

both_forms = pytest.mark.parametrize("non_target", ["zero", "masked"])


def test_values_worked_out_by_hand() -> None:
    # Without the last class, whose logit becomes 0: (1/2, 1/4, 1/4) against (1/3, 1/3, 1/3).
    teacher, student = torch.tensor([[2.0, 1, 9]] * 4).double().log(), torch.zeros(4, 3).double()
    target, selected = torch.full((4,), 2), torch.tensor([True, False, True, True])
    zero = 3 / 4 * (np.log(3 / 2) / 2 + np.log(3 / 4) / 2)
    masked = 3 / 4 * (2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3))
    for form, expected in (("zero", zero), ("masked", masked)):
        found = non_target_kl(student, teacher, target, selected, form)  # type: ignore[arg-type]
        assert found.item() == pytest.approx(expected, abs=1e-14)


@both_forms
def test_the_target_s_logit_does_not_matter(non_target: Literal["zero", "masked"]) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5).double()
    target, selected = torch.arange(4), torch.ones(4, dtype=torch.bool)
    before = non_target_kl(student, teacher, target, selected, non_target)
    for logits in (student, teacher):
        logits[range(4), target] = 1e4
    student.requires_grad_()
    after = non_target_kl(student, teacher, target, selected, non_target)
    assert after.item() == before.item()
    after.backward()
    assert student.grad is not None
    assert not student.grad[range(4), target].any()
    assert student.grad.count_nonzero() == 16


def test_masked_is_dkd_s_large_negative_logit_and_zero_is_not() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5).double()
    target, selected = torch.arange(4), torch.ones(4, dtype=torch.bool)
    low = -1000 * F.one_hot(target, 5)
    as_dkd = F.kl_div(
        F.log_softmax(student + low, 1), F.softmax(teacher + low, 1), reduction="batchmean"
    )
    assert non_target_kl(student, teacher, target, selected, "masked").item() == pytest.approx(
        as_dkd.item(), rel=1e-10
    )
    assert non_target_kl(student, teacher, target, selected).item() != pytest.approx(
        as_dkd.item(), rel=0.01
    )


def test_two_classes_leave_one_and_nothing_to_compare() -> None:
    student, teacher = torch.randn(2, 4, 2)
    student.requires_grad_()
    target, selected = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
    loss = non_target_kl(student, teacher, target, selected, "masked")
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert not student.grad.any()
    # With a logit of 0 for the target they are a distribution of two.
    assert non_target_kl(student, teacher, target, selected).item() > 0


@both_forms
@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(non_target: Literal["zero", "masked"], logit: float) -> None:
    student = torch.tensor([[logit, 0.0, -logit]], requires_grad=True)
    teacher = torch.tensor([[-logit, 0.0, logit]])
    loss = non_target_kl(student, teacher, torch.tensor([1]), torch.tensor([True]), non_target)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_no_sample_selected_is_zero_with_zero_gradient() -> None:
    student = torch.randn(4, 3, requires_grad=True)
    selected = torch.zeros(4, dtype=torch.bool)
    loss = non_target_kl(student, torch.randn(4, 3), torch.arange(4) % 3, selected)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_what_does_not_fit_is_an_error() -> None:
    z = torch.zeros(2, 3)
    arguments = torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="same classes"):
        non_target_kl(z, torch.zeros(2, 4), *arguments)
    with pytest.raises(ValueError, match="non_target='one' is unknown"):
        non_target_kl(z, z, *arguments, "one")  # type: ignore[arg-type]
