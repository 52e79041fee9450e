import pytest
import torch

from fdkd_lightning.losses.outputs import require_batch, require_same_shape, stage_map
from fdkd_lightning.types import Output

OUTPUT = Output(torch.ones(2, 8), torch.zeros(2, 3))


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


def test_a_map_that_is_none_is_an_error() -> None:
    tokens = Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.ones(2, 5, 8),))
    with pytest.raises(ValueError, match=r"map 0 of the teacher's Output has shape \[2, 5, 8\]"):
        stage_map("teacher", tokens, 0)
