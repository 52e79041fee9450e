import pytest
import torch

from fdkd_lightning.losses.base import (
    DistillationLoss,
    TeacherRequiredError,
    label_or_prediction,
    require_teacher,
)
from fdkd_lightning.losses.outputs import require_same_shape
from fdkd_lightning.types import Output

OUTPUT = Output(torch.ones(2, 8), torch.zeros(2, 3))


def test_a_loss_must_have_terms() -> None:
    with pytest.raises(TypeError, match=r"abstract .*forward"):
        DistillationLoss()


def test_a_loss_needs_nothing_but_terms() -> None:
    class Constant(DistillationLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            return {"constant": torch.tensor(1.0)}

    loss = Constant()
    loss.build(OUTPUT, None)
    loss.set_epoch(3)
    assert not loss.state_dict()
    assert loss.heads(OUTPUT) == {}
    assert loss.logged_values() == {}
    assert loss(OUTPUT, None, torch.tensor([0, 1])) == {"constant": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("record", "logged_values"),
        ("keeps_to_one_teacher", "single_teacher_only"),
        ("whole_from", "warmup_epochs"),
    ],
)
def test_a_method_under_an_earlier_name_is_refused(old: str, new: str) -> None:
    with pytest.raises(TypeError, match=rf"Mine\.{old} is now called {new}: rename the method"):
        type("Mine", (DistillationLoss,), {old: lambda self: None})
    type("Mine", (DistillationLoss,), {new: lambda self: None})


def test_a_required_teacher_is_handed_back() -> None:
    assert require_teacher(torch.nn.MSELoss(), OUTPUT) is OUTPUT


def test_a_missing_teacher_is_an_error_that_names_the_loss() -> None:
    message = "MSELoss has no term without a teacher: give `teachers`"
    with pytest.raises(TeacherRequiredError, match=message):
        require_teacher(torch.nn.MSELoss(), None)


def test_a_missing_teacher_is_a_value_error_that_can_be_told_from_others() -> None:
    assert issubclass(TeacherRequiredError, ValueError)
    with pytest.raises(ValueError, match="cut them") as caught:
        require_same_shape("maps", torch.ones(1), torch.ones(2), "cut them")
    assert not isinstance(caught.value, TeacherRequiredError)


def test_where_there_is_no_label_the_teachers_prediction_stands_for_it() -> None:
    logits = torch.tensor([[5.0, 0, 0], [0, 0, 2], [0, 3, 1], [-3, -2, -1]])
    teacher = Output(torch.zeros(4, 8), logits)
    target = torch.tensor([2, -100, -100, 0])
    assert label_or_prediction(target, teacher).tolist() == [2, 2, 1, 0]
    assert label_or_prediction(torch.full((4,), -100), teacher).tolist() == [0, 2, 1, 2]
    # What was handed in is left as it was.
    assert target.tolist() == [2, -100, -100, 0]


def test_each_pixel_has_its_label_or_prediction() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 2, 0, 1] = logits[0, 1, 1, 1] = 1.0
    teacher = Output(torch.zeros(1, 8, 2, 2), logits)
    target = torch.tensor([[[1, -100], [-100, -100]]])
    assert label_or_prediction(target, teacher).tolist() == [[[1, 2], [0, 1]]]
