import warnings

import pytest
import torch

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    CompositeLoss,
    DistillationLoss,
    DKDLoss,
    FDKDLoss,
    MFHLoss,
    ShuffledPairs,
    WarmUp,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.kd import KDLoss
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.pairs import Pair
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.types import Output


def test_the_terms_add_up_to_one_teachers_where_all_are_the_same() -> None:
    student, teacher = (Output(torch.randn(4, 8), torch.randn(4, 3)) for _ in range(2))
    target = torch.tensor([0, 1, -100, 2])
    pair = Pair(student, teacher, target)
    torch.testing.assert_close(
        Distiller(KDLoss(), "abc")([pair] * 3), Distiller(KDLoss(), "a")([pair])
    )


def test_a_teacher_that_teaches_nothing_does_not_change_what_the_others_teach() -> None:
    pair = Pair(*(Output(torch.randn(4, 8), torch.randn(4, 3)) for _ in range(2)), torch.arange(4))
    alone = Distiller(KDLoss(), "abc")([pair, None, None])
    assert alone["kd"].item() == pytest.approx(KDLoss()(*pair)["kd"].item() / 3)
    assert Distiller(KDLoss(), "a")([None]) == {}


@pytest.mark.parametrize(
    ("criterion", "epoch"),
    [
        (DKDLoss(warmup=3), 3),
        (CompositeLoss({"kd": KDLoss()}, {"kd": WarmUp(3)}), 3),
        (ShuffledPairs(DKDLoss(warmup=3)), 3),
        (MFHLoss(joint_epochs=2), 3),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_warm_up_that_outlasts_training_brings_a_warning(
    criterion: DistillationLoss, epoch: int
) -> None:
    distiller, name = Distiller(criterion, ["audio"]), type(criterion).__name__
    with pytest.warns(UserWarning, match=f"{name} reaches its full weight in epoch {epoch}"):
        distiller.start(0, epoch - 1)
    for max_epochs in (epoch, -1, None):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            distiller.start(0, max_epochs)


@pytest.mark.parametrize("has_teacher", [False, True])
def test_parts_are_sized_by_outputs_or_by_the_shapes_of_an_earlier_run(has_teacher: bool) -> None:
    def new() -> Distiller:
        criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())
        return Distiller(criterion, ["audio"] if has_teacher else [], Projector(12))

    built, again = new(), new()
    assert not built.is_sized()
    student, teacher = (Output(torch.randn(2, size), torch.randn(2, 3)) for size in (8, 12))
    built.build(student, {"audio": teacher} if has_teacher else {})
    assert built.shapes is not None
    again.build_from_shapes(built.shapes)
    again.load_state_dict(built.state_dict())
    for distiller in (built, again):
        assert distiller.is_sized()
        assert distiller.heads(student).keys() == {"align_low", "align_high"}
    assert Distiller(KDLoss(), ["audio"]).is_sized()
