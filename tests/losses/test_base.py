import pytest
import torch

from fdkd_lightning.losses.base import DistillationLoss, require_same_shape, require_teacher
from fdkd_lightning.types import Output

OUTPUT = Output(torch.ones(2, 8), torch.zeros(2, 3))


def test_a_loss_must_have_terms() -> None:
    with pytest.raises(TypeError, match=r"abstract .*forward"):
        DistillationLoss()


def test_a_loss_needs_neither_build_nor_set_epoch() -> None:
    class Constant(DistillationLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            return {"constant": torch.tensor(1.0)}

    loss = Constant()
    loss.build(OUTPUT, None)
    loss.set_epoch(3)
    assert not loss.state_dict()
    assert loss(OUTPUT, None, torch.tensor([0, 1])) == {"constant": torch.tensor(1.0)}


def test_a_required_teacher_is_handed_back() -> None:
    assert require_teacher(torch.nn.MSELoss(), OUTPUT) is OUTPUT


def test_a_missing_teacher_is_an_error_that_names_the_loss() -> None:
    with pytest.raises(ValueError, match="MSELoss has no term without a teacher: give `teachers`"):
        require_teacher(torch.nn.MSELoss(), None)


def test_different_shapes_are_an_error_that_names_both_and_the_remedy() -> None:
    a, b = torch.ones(2, 8), torch.ones(2, 9)
    require_same_shape("maps", a, a, "cut them")
    message = r"student's maps have shape \[2, 8\], the teacher's \[2, 9\]: cut them"
    with pytest.raises(ValueError, match=message):
        require_same_shape("maps", a, b, "cut them")
