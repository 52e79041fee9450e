from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler, LearnableFrequencyDecoupler
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.base import (
    DistillationLoss,
    TeacherRequiredError,
    require_teacher,
)
from fdkd_lightning.losses.composite import CompositeLoss
from fdkd_lightning.losses.controls import ShuffledPairs
from fdkd_lightning.losses.dkd import DKDLoss
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.feature import FeatureLoss
from fdkd_lightning.losses.kd import KDLoss
from fdkd_lightning.losses.schedule import CosineDecay, WarmUp, WeightSchedule
from fdkd_lightning.types import Output

TARGET = torch.tensor([0, 1])


class Known(DistillationLoss):
    """Terms of known values; keeps the calls of its other methods."""

    def __init__(self, needs_teacher: bool = False, **values: float) -> None:
        super().__init__()
        self.values = values
        self.needs_teacher = needs_teacher
        self.told: list[Any] = []

    def _meet(self, teacher: Output | None) -> None:
        if self.needs_teacher:
            require_teacher(self, teacher)

    def build(self, student: Output, teacher: Output | None) -> None:
        self._meet(teacher)
        self.told.append(("build", student, teacher))

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        self._meet(teacher)
        return {name: torch.tensor(value) for name, value in self.values.items()}


def output() -> Output:
    return Output(torch.ones(2, 8), torch.zeros(2, 3))


def terms_of(loss: DistillationLoss, teacher: bool = True) -> dict[str, float]:
    found = loss(output(), output() if teacher else None, TARGET)
    return {name: term.item() for name, term in found.items()}


# Names and weights.


def test_a_term_is_named_after_its_loss_and_itself_and_weighted() -> None:
    losses = {"a": Known(x=1.0, y=10.0), "b": Known(x=3.0), "c": Known(z=5.0)}
    found = terms_of(CompositeLoss(losses, {"b": 0.5, "c": 2}))
    assert found == {"a/x": 1, "a/y": 10, "b/x": 1.5, "c/z": 10}
    assert list(found) == ["a/x", "a/y", "b/x", "c/z"]


def test_without_weights_each_loss_has_its_own(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    loss = CompositeLoss({"kd": KDLoss(weight=0.5), "feat": FeatureLoss()})
    found = {name: term.item() for name, term in loss(student, teacher, target).items()}
    rows = [[x.detach().double().numpy() for x in o[:2]] for o in (student, teacher)]
    (f_s, z_s), (f_t, z_t) = rows
    divergence = 0.0
    for s, t in zip(z_s / 4, z_t / 4, strict=True):
        log_q, log_p = s - np.log(np.exp(s).sum()), t - np.log(np.exp(t).sum())
        divergence += sum(np.exp(log_p) * (log_p - log_q)) / len(z_s)
    assert found == pytest.approx(
        {"kd/kd": 0.5 * 16 * divergence, "feat/feature": np.mean((f_s - f_t) ** 2)}, rel=1e-5
    )


def test_weights_may_be_zero() -> None:
    assert terms_of(CompositeLoss({"a": Known(x=2.0)}, {"a": 0.0})) == {"a/x": 0}


def test_the_mapping_that_was_given_may_change_later() -> None:
    weights: dict[str, float | WeightSchedule] = {"a": 2.0}
    loss = CompositeLoss({"a": Known(x=1.0)}, weights)
    weights["a"] = 7.0
    assert terms_of(loss) == {"a/x": 2}


# Epochs.


def test_schedules_weigh_all_terms_of_their_loss_by_the_epoch() -> None:
    class Odd(WeightSchedule):
        def __call__(self, epoch: int) -> float:
            return float(epoch % 2)

    losses = {"a": Known(x=1.0, y=10.0), "b": Known(z=2.0), "c": Known(z=3.0), "d": Known(z=7.0)}
    loss = CompositeLoss(losses, {"a": WarmUp(4), "b": CosineDecay(2), "c": Odd()})
    expected = [
        {"a/x": 0.25, "a/y": 2.5, "b/z": 2, "c/z": 0, "d/z": 7},
        {"a/x": 0.5, "a/y": 5, "b/z": 1, "c/z": 3, "d/z": 7},
        {"a/x": 0.75, "a/y": 7.5, "b/z": 0, "c/z": 0, "d/z": 7},
    ]
    # Before it is told, it is the first.
    assert terms_of(loss) == pytest.approx(expected[0])
    for epoch, terms in enumerate(expected):
        loss.set_epoch(epoch)
        assert terms_of(loss) == pytest.approx(terms, abs=1e-7)


def test_warm_ups_of_losses_and_of_weights_both_count() -> None:
    losses = {"dkd": DKDLoss(warmup=5), "kd": KDLoss()}
    own = DKDLoss(warmup=5).warmup_epochs()
    assert CompositeLoss(losses).warmup_epochs() == own
    assert CompositeLoss(losses, {"kd": WarmUp(4)}).warmup_epochs() == max(3, own)
    assert CompositeLoss(losses, {"kd": WarmUp(9)}).warmup_epochs() == 8


# Without a teacher.


def test_losses_that_need_a_teacher_are_left_out_without_one() -> None:
    losses = {
        "a": Known(needs_teacher=True, x=1.0),
        "b": Known(y=2.0),
        "c": Known(needs_teacher=True, x=3.0),
    }
    loss = CompositeLoss(losses, {"b": 3.0})
    assert terms_of(loss) == {"a/x": 1, "b/y": 6, "c/x": 3}
    assert terms_of(loss, teacher=False) == {"b/y": 6}


def test_the_teacher_free_control_is_that_of_the_loss_alone(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    fdkd = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(16, 3))
    loss = CompositeLoss({"kd": KDLoss(), "fdkd": fdkd})
    assert list(loss(student, teacher, target)) == [
        "kd/kd",
        "fdkd/low",
        "fdkd/high",
        "fdkd/align",
    ]
    alone = fdkd(student, None, target)
    assert list(alone) == ["align"]
    assert loss(student, None, target) == {"fdkd/align": alone["align"]}


def test_where_no_loss_can_do_without_a_teacher_it_is_an_error() -> None:
    loss = CompositeLoss({"kd": KDLoss(), "feat": FeatureLoss()})
    with pytest.raises(TeacherRequiredError, match="Loss has no term without a teacher: give"):
        terms_of(loss, teacher=False)


def test_build_leaves_alone_what_needs_a_teacher_and_has_none() -> None:
    a, b = Known(needs_teacher=True, x=1.0), Known(x=1.0)
    loss, student = CompositeLoss({"a": a, "b": b}), output()
    loss.build(student, None)
    assert a.told == []
    assert b.told == [("build", student, None)]
    teacher = output()
    loss.build(student, teacher)
    assert a.told == [("build", student, teacher)]
    with pytest.raises(TeacherRequiredError, match="Known has no term without a teacher"):
        CompositeLoss({"a": a}).build(student, None)


@pytest.mark.parametrize("teacher", [True, False])
@pytest.mark.parametrize("kind", [ValueError, RuntimeError, KeyError])
def test_other_errors_of_a_loss_are_not_swallowed(kind: type[Exception], teacher: bool) -> None:
    class Failing(DistillationLoss):
        def build(self, student: Output, teacher: Output | None) -> None:
            raise kind("broken")

        def set_epoch(self, epoch: int) -> None:
            raise kind("broken")

        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            raise kind("broken")

        def heads(self, student: Output) -> dict[str, Tensor]:
            raise kind("broken")

        def logged_values(self) -> dict[str, Tensor]:
            raise kind("broken")

    loss = CompositeLoss({"good": Known(x=1.0), "bad": Failing()})
    for ask in (
        lambda: terms_of(loss, teacher),
        lambda: loss.build(output(), output() if teacher else None),
        lambda: loss.set_epoch(1),
        lambda: loss.heads(output()),
        loss.logged_values,
    ):
        with pytest.raises(kind, match="broken"):
            ask()


def test_an_unfit_teacher_is_an_error_beside_a_loss_that_is_content() -> None:
    loss = CompositeLoss({"good": Known(x=1.0), "feat": FeatureLoss()})
    wide = Output(torch.ones(2, 9), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\[2, 8\].*\[2, 9\].*`projector`"):
        loss(output(), wide, TARGET)


# Names and parameters.


def test_the_cut_off_of_a_learnable_split_is_recorded() -> None:
    fdkd = FDKDLoss(LearnableFrequencyDecoupler(threshold=0.25))
    record = CompositeLoss({"fdkd": fdkd, "kd": KDLoss()}).logged_values()
    assert list(record) == ["fdkd/threshold"]
    assert record["fdkd/threshold"].item() == pytest.approx(0.25, rel=1e-6)


def built(pair: Callable[..., Any]) -> tuple[CompositeLoss, Any]:
    torch.manual_seed(0)
    found = pair()
    loss = CompositeLoss(
        {
            "fdkd": FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead()),
            "kd": KDLoss(),
        },
        {"fdkd": WarmUp(2)},
    )
    loss.build(*found[:2])
    return loss, found


def test_the_losses_weights_are_sized_and_trained(pair: Callable[..., Any]) -> None:
    loss, found = built(pair)
    names = {
        f"losses.fdkd.alignment.{band}.{part}"
        for band in ("low", "high")
        for part in ("weight", "bias")
    }
    assert {name for name, _ in loss.named_parameters()} == set(loss.state_dict()) == names
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    before = {name: x.detach().clone() for name, x in loss.named_parameters()}
    sum(loss(*found).values()).backward()
    optimizer.step()
    assert all(not torch.equal(x, before[name]) for name, x in loss.named_parameters())


def test_a_weight_is_a_factor_of_the_gradient(pair: Callable[..., Any]) -> None:
    loss, found = built(pair)
    name = "losses.fdkd.alignment.low.weight"
    gradients = []
    for epoch in range(2):
        loss.set_epoch(epoch)
        (gradient,) = torch.autograd.grad(
            loss(*found)["fdkd/align"], loss.get_parameter(name), retain_graph=True
        )
        gradients.append(gradient)
    torch.testing.assert_close(2 * gradients[0], gradients[1])
    assert gradients[0].count_nonzero() > 0


def test_a_state_dict_is_restored(pair: Callable[..., Any]) -> None:
    loss, found = built(pair)
    other, _ = built(pair)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert other(*found) != loss(*found)
    other.load_state_dict(loss.state_dict())
    assert other(*found) == loss(*found)


# Inside one another, and inside a control.


def test_composites_nest() -> None:
    inner = CompositeLoss({"a": Known(x=1.0), "b": Known(needs_teacher=True, x=2.0)}, {"a": 3.0})
    loss = CompositeLoss({"inner": inner, "c": Known(x=5.0)}, {"inner": 10.0, "c": WarmUp(2)})
    assert terms_of(loss) == {"inner/a/x": 30, "inner/b/x": 20, "c/x": 2.5}
    assert terms_of(loss, teacher=False) == {"inner/a/x": 30, "c/x": 2.5}


def test_a_nested_composite_without_anything_teacher_free_is_left_out() -> None:
    loss = CompositeLoss({"inner": CompositeLoss({"kd": KDLoss()}), "c": Known(x=5.0)})
    assert terms_of(loss, teacher=False) == {"c/x": 5}
    with pytest.raises(TeacherRequiredError, match="KDLoss"):
        terms_of(CompositeLoss({"inner": CompositeLoss({"kd": KDLoss()})}), teacher=False)


def test_a_control_shuffles_the_pairs_of_all_losses() -> None:
    features = torch.tensor([[0.0], [1.0], [2.0]])
    student = Output(features, torch.zeros(3, 2))
    loss = CompositeLoss({"a": FeatureLoss(), "b": FeatureLoss()}, {"b": 0.5})
    control = ShuffledPairs(loss)
    # 0 meets 1, 1 meets 2, 2 meets 0: (1 + 1 + 4) / 3.
    terms = control(student, student, torch.tensor([0, 0, 0]))
    assert {name: term.item() for name, term in terms.items()} == {"a/feature": 2, "b/feature": 1}
    with pytest.raises(TeacherRequiredError, match="ShuffledPairs has no term without a teacher"):
        control(student, None, torch.tensor([0, 0, 0]))


def test_a_control_passes_the_epoch_to_the_weights_of_a_composite() -> None:
    control = ShuffledPairs(CompositeLoss({"a": Known(x=2.0)}, {"a": WarmUp(4)}))
    control.set_epoch(1)
    assert terms_of(control) == {"a/x": 1}


def test_one_loss_of_a_composite_may_be_controlled() -> None:
    control = ShuffledPairs(FeatureLoss())
    loss = CompositeLoss({"shuffled": control, "known": Known(x=1.0)})
    assert terms_of(loss) == {"shuffled/feature": 0, "known/x": 1}
    assert terms_of(loss, teacher=False) == {"known/x": 1}


# Its errors.


def test_no_loss_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="losses is empty: name at least one"):
        CompositeLoss({})


@pytest.mark.parametrize("name", ["a.b", "a/b", "/", "."])
def test_a_name_with_a_dot_or_a_slash_is_an_error(name: str) -> None:
    message = f"losses names '{name}': a name may contain neither a dot nor a slash"
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        CompositeLoss({"fine": Known(x=1.0), name: Known(x=1.0)})


def test_a_weight_of_no_loss_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="weights names 'c', which is none of a, b"):
        CompositeLoss({"a": Known(x=1.0), "b": Known(x=1.0)}, {"a": 1.0, "c": 2.0})
