import pytest
import torch

from fdkd_lightning.losses.kd import KDLoss
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.pairs import Pair
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
