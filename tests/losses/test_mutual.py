from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    CompositeLoss,
    DistillationLoss,
    FDKDLoss,
    FeatureLoss,
    HintLoss,
    KDLoss,
    LayerwiseLoss,
    MutualLoss,
    ShuffledPairs,
    WarmUp,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.types import Output

Make = Callable[..., tuple[Output, Output, Tensor]]


def test_terms_and_gradients_are_those_of_deep_mutual_learning(pair: Make) -> None:
    """Written out: each network's KL from the other's prediction, and the teacher's CE."""
    student, teacher, target = pair(dtype=torch.float64)
    terms = MutualLoss(KDLoss(temperature=1.0), task_weight=0.5)(student, teacher, target)
    p, q = student.logits.softmax(1), teacher.logits.softmax(1)
    expected = {
        "student/kd": (q * (q / p).log()).sum(1).mean(),
        "teacher/kd": (p * (p / q).log()).sum(1).mean(),
        "teacher/task": 0.5 * -q[range(1, 4), target[1:]].log().mean(),
    }
    assert list(terms) == list(expected)
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-10)
    sum(terms.values()).backward()
    # KL's gradient by the logits that learn is (what they say - what they are told) / N.
    own = (p - q).detach() / 4
    assert student.logits.grad is not None
    assert teacher.logits.grad is not None
    torch.testing.assert_close(student.logits.grad, own)
    hot = F.one_hot(target.clamp(min=0), 3) * (target != -100)[:, None]
    task = 0.5 * (q * (target != -100)[:, None] - hot).detach() / 3
    torch.testing.assert_close(teacher.logits.grad, -own + task)


def test_neither_learns_by_the_others_term(pair: Make) -> None:
    class Leaky(DistillationLoss):
        """Holds nothing fixed by itself."""

        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            assert teacher is not None
            maps = student.maps[0].mean() * teacher.maps[0].mean()
            features, logits = student.features * teacher.features, student.logits * teacher.logits
            return {"all": maps + features.sum() + logits.sum()}

    student, teacher, target = pair()
    terms = MutualLoss(Leaky())(student, teacher, target)
    for role, learns, rests in (("student", student, teacher), ("teacher", teacher, student)):
        inputs = [x for output in (learns, rests) for x in (*output[:2], output.maps[0])]
        found = torch.autograd.grad(terms[f"{role}/all"], inputs, allow_unused=True)
        assert [gradient is not None for gradient in found] == [True] * 3 + [False] * 3


def test_shared_heads_get_the_gradient_of_both_directions(pair: Make) -> None:
    student, teacher, target = pair()
    fdkd = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())
    mutual = MutualLoss(fdkd)
    mutual.build(student, teacher)
    weight = [p for p in mutual.parameters() if p.ndim == 2]
    assert len(weight) == 2
    once = fdkd(student, teacher, target)["align"]
    terms = mutual(student, teacher, target)
    both = terms["student/align"] + terms["teacher/align"]
    # The heads classify the same four bands whoever learns.
    for twice, single in zip(*(torch.autograd.grad(x, weight) for x in (both, once)), strict=True):
        torch.testing.assert_close(twice, 2 * single)


def test_a_criterion_with_parts_for_one_direction_needs_another(pair: Make) -> None:
    for criterion in (HintLoss(), CompositeLoss({"hint": HintLoss()})):
        with pytest.raises(ValueError, match=r"has parts for one direction.*teacher_criterion"):
            MutualLoss(criterion)
    student, teacher, target = pair()
    loss = MutualLoss(HintLoss(), teacher_criterion=HintLoss())
    loss.build(student, teacher)
    # The stage's maps have different widths: each direction has a map of its own.
    assert set(loss(student, teacher, target)) == {"student/hint", "teacher/hint", "teacher/task"}
    assert loss.single_teacher_only()


def test_what_fits_in_one_direction_alone_is_told_when_it_is_built(pair: Make) -> None:
    student, teacher, target = pair()
    assert student.maps[1].shape[1] != teacher.maps[1].shape[1]
    with pytest.raises(
        ValueError, match=r"LayerwiseLoss does not fit the other.*teacher_criterion"
    ):
        MutualLoss(LayerwiseLoss(FeatureLoss(), [1])).build(student, teacher)
    loss = MutualLoss(
        LayerwiseLoss(FeatureLoss(), [1]), teacher_criterion=LayerwiseLoss(FeatureLoss(), [1])
    )
    loss.build(student, teacher)
    names = {"student/stage1/feature", "teacher/stage1/feature", "teacher/task"}
    assert loss(student, teacher, target).keys() == names


def test_its_own_criterion_teaches_the_teacher(pair: Make) -> None:
    student, teacher, target = pair()
    loss = MutualLoss(KDLoss(), task_weight=None, teacher_criterion=FeatureLoss())
    found = loss(student, teacher, target)
    assert found["student/kd"] == KDLoss()(student, teacher, target)["kd"]
    assert found["teacher/feature"] == FeatureLoss()(teacher, student, target)["feature"]
    assert len(found) == 2


def test_a_frozen_teacher_is_an_error_in_training_alone(pair: Make) -> None:
    student, teacher, target = pair()
    frozen = teacher._replace(logits=teacher.logits.detach())
    loss = MutualLoss(KDLoss())
    with pytest.raises(ValueError, match=r"set the DistillationModule's `train_teachers: true`"):
        loss(student, frozen, target)
    assert loss.eval()(student, frozen, target).keys() == loss(student, teacher, target).keys()


def test_in_shuffled_pairs_each_keeps_its_label(pair: Make) -> None:
    student, teacher, target = pair()
    seen: list[tuple[Any, ...]] = []

    class Watching(DistillationLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            assert teacher is not None
            seen.append((student.label, teacher.label, target))
            return {}

    found = ShuffledPairs(MutualLoss(Watching()))(student, teacher, target)
    others = target.roll(-1)
    for own, its, label in zip(seen[0][:1], seen[0][1:2], seen[0][2:], strict=True):
        assert own is None
        assert torch.equal(its, others)
        assert torch.equal(label, target)
    assert seen[1][0] is None
    assert torch.equal(seen[1][1], target)
    assert torch.equal(seen[1][2], others)
    expected = F.cross_entropy(teacher.logits.roll(-1, 0), others)
    assert found["teacher/task"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_epoch_reaches_the_teachers_schedule(pair: Make) -> None:
    student, teacher, target = pair()
    warming = CompositeLoss({"kd": KDLoss()}, {"kd": WarmUp(4)})
    late = MutualLoss(KDLoss(), teacher_criterion=warming)
    late.set_epoch(1)
    found = late(student, teacher, target)
    assert found["teacher/kd/kd"].item() == pytest.approx(
        KDLoss()(teacher, student, target)["kd"].item() / 2
    )
