import pytest
import torch

from fdkd_lightning.losses.base import (
    DistillationLoss,
    TeacherRequiredError,
    label_or_prediction,
    require_batch,
    require_same_shape,
    require_teacher,
    stage_map,
)
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


def test_different_shapes_are_an_error_that_names_both_and_the_remedy() -> None:
    a, b = torch.ones(2, 8), torch.ones(2, 9)
    require_same_shape("maps", a, a, "cut them")
    message = r"student's maps have shape \[2, 8\], the teacher's \[2, 9\]: cut them"
    with pytest.raises(ValueError, match=message):
        require_same_shape("maps", a, b, "cut them")


@pytest.mark.parametrize(("size", "least"), [(1, 2), (0, 1), (3, 4)])
def test_too_small_a_batch_is_an_error_that_says_why(size: int, least: int) -> None:
    message = rf"MSELoss got a batch of {size}, and needs at least {least}: no pairs\. .*drop_last"
    with pytest.raises(ValueError, match=message):
        require_batch(torch.nn.MSELoss(), size, least, "no pairs")


@pytest.mark.parametrize("size", [2, 3, 100])
def test_a_batch_that_is_large_enough_passes(size: int) -> None:
    require_batch(torch.nn.MSELoss(), size, 2, "no pairs")


MAPS = OUTPUT._replace(maps=tuple(torch.full((2, c, 1, 1), float(c)) for c in (3, 4, 5)))


@pytest.mark.parametrize(("stage", "channels"), [(0, 3), (1, 4), (2, 5), (-1, 5), (-3, 3)])
def test_a_stage_is_counted_from_either_end(stage: int, channels: int) -> None:
    assert stage_map("student", MAPS, stage) is MAPS.maps[stage]
    assert stage_map("student", MAPS, stage).shape[1] == channels


@pytest.mark.parametrize(
    ("role", "output", "stage", "count"),
    [("student", MAPS, 3, 3), ("teacher", MAPS, -4, 3), ("teacher", OUTPUT, 0, 0)],
)
def test_a_stage_that_is_not_there_is_an_error_that_says_how_many_are(
    role: str, output: Output, stage: int, count: int
) -> None:
    message = rf"stage={stage} is not among the {count} maps of the {role}'s Output: choose"
    with pytest.raises(ValueError, match=message):
        stage_map(role, output, stage)


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


def test_a_map_that_is_none_is_an_error() -> None:
    tokens = Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.ones(2, 5, 8),))
    with pytest.raises(ValueError, match=r"map 0 of the teacher's Output has shape \[2, 5, 8\]"):
        stage_map("teacher", tokens, 0)
