import pytest
import torch
from torch import nn

from fdkd_lightning.training.monitor.finite_watch import INTERVAL, FiniteWatch
from fdkd_lightning.types import Output

NAN = torch.tensor(float("nan"))


def step(watch: FiniteWatch, **values: torch.Tensor) -> None:
    for name, value in values.items():
        watch.note(name, value)
    watch.end_step()


def test_the_first_cause_is_named_with_its_step() -> None:
    watch, one = FiniteWatch(), torch.ones(2)
    step(watch, student=one, teacher=one, low=one)
    step(watch, student=one, teacher=one * NAN, low=NAN)
    step(watch, student=one * NAN, teacher=one, low=NAN)
    with pytest.raises(FloatingPointError, match=r"diverged: teacher is NaN .* since step 1 of"):
        watch.check()
    watch.restart()
    watch.check()


@pytest.mark.parametrize(("value", "finite"), [(-torch.inf, True), (torch.inf, False)])
def test_a_masked_class_is_finite(value: float, finite: bool) -> None:
    watch = FiniteWatch()
    watch.note_output("teacher", Output(torch.ones(2, 3), torch.tensor([[0.0, value], [1.0, 2.0]])))
    if finite:
        watch.check()
    else:
        with pytest.raises(FloatingPointError, match="the teacher's logits are NaN"):
            watch.check()


def test_steps_that_a_scaler_skips_do_not_count_unless_they_go_on() -> None:
    watch = FiniteWatch()
    step(watch, loss=NAN)
    step(watch, loss=torch.ones(()))
    watch.check(recovers=True)
    step(watch, loss=NAN)
    with pytest.raises(FloatingPointError, match="loss is NaN"):
        watch.check(recovers=True)


def test_trained_weights_are_looked_at_and_frozen_ones_are_not() -> None:
    layer, watch = nn.Linear(2, 2), FiniteWatch()
    watch.check(layer)
    nn.init.constant_(layer.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="a weight of the module is NaN"):
        watch.check(layer)
    watch.check(layer.requires_grad_(False))


def test_notes_wait_for_the_device_every_now_and_then() -> None:
    due = [i for i in range(120) if FiniteWatch().is_due(i)]
    assert due == [INTERVAL - 1, 2 * INTERVAL - 1]
