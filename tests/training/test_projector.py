import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.training.projector import Projector


def positions(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def test_a_map_meets_a_vector_as_its_average() -> None:
    grid, vector = positions(2, 3, 2, 2), torch.zeros(2, 5, dtype=torch.float64)
    expected = torch.stack([grid[:, :, i, j] for i in (0, 1) for j in (0, 1)]).sum(0) / 4
    projector = Projector()
    projector.build(grid, vector)
    projector.double()
    layer = projector.linear["5"]
    student, teacher = projector(grid, vector)
    torch.testing.assert_close(student, layer(expected))
    assert teacher is vector
    projector = Projector().double()
    projector.build(vector, grid)
    student, teacher = projector.double()(vector, grid)
    torch.testing.assert_close(teacher, expected)
    torch.testing.assert_close(student, projector.linear["3"](vector))


def test_tokens_and_a_grid_meet_without_padding() -> None:
    tokens, grid = positions(2, 3, 1, 4) + 1, positions(2, 5, 2, 2)
    tokens[1, :, :, 2:] = 0
    projector = Projector()
    projector.build(tokens, grid)
    student, teacher = projector.double()(tokens, grid)
    expected = torch.stack([tokens[0].mean((1, 2)), tokens[1, :, 0, :2].mean(1)])
    torch.testing.assert_close(student, projector.linear["5"](expected))
    torch.testing.assert_close(teacher, grid.mean((2, 3)))


def test_a_students_map_takes_the_teachers_grid() -> None:
    # Halfway between two positions is their mean; at the borders the nearest place counts.
    student, teacher = torch.tensor([[[[0.0, 4.0]]]]), torch.zeros(1, 1, 1, 4)
    projector = Projector(positions="resize")
    projector.build(student, teacher)
    nn.init.ones_(projector.linear["1"].weight)  # type: ignore[arg-type]  # built
    nn.init.zeros_(projector.linear["1"].bias)  # type: ignore[arg-type]  # built
    student = student + 1  # zeros would be padding
    student, teacher = projector(student, teacher)
    assert student.tolist() == [[[[1.0, 2.0, 4.0, 5.0]]]]
    assert teacher.shape == (1, 1, 1, 4)


@pytest.mark.parametrize(
    ("one", "other"), [((2, 3), (2, 3, 2, 2)), ((2, 3, 2, 2), (2, 3)), ((2, 3, 1, 4), (2, 3, 2, 2))]
)
def test_positions_that_cannot_be_resized_to_each_other_are_an_error(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    projector = Projector(positions="resize")
    student, teacher = torch.randn(one), torch.randn(other)
    projector.build(student, teacher)
    with pytest.raises(ValueError, match="set positions='mean'"):
        projector(student, teacher)


def test_teachers_of_one_width_share_the_layer() -> None:
    projector, student = Projector(), torch.randn(2, 8)
    teachers = [torch.randn(2, width) for width in (16, 16, 5)]
    for teacher in teachers:
        projector.build(student, teacher)
    assert set(projector.linear) == {"16", "5"}
    for teacher in teachers:
        layer = projector.linear[str(teacher.shape[1])]
        assert isinstance(layer, ProbedLinear)
        assert layer.weight is not None
        projected, same = projector(student, teacher)
        assert same is teacher
        torch.testing.assert_close(projected, F.linear(student, layer.weight, layer.bias))


def test_a_map_is_projected_position_by_position() -> None:
    projector, student = Projector(positions="resize"), torch.randn(2, 8, 3, 4)
    projector.build(student, torch.randn(2, 6, 3, 4))
    projected, _ = projector(student, torch.randn(2, 6, 3, 4))
    alone, _ = projector(student[:, :, 1:2, 2:3], torch.randn(2, 6, 1, 1))
    torch.testing.assert_close(projected[:, :, 1:2, 2:3], alone)


def test_building_twice_keeps_the_weights() -> None:
    projector = Projector()
    projector.build(torch.randn(2, 8), torch.randn(2, 6))
    before = projector.linear["6"].state_dict()
    projector.build(torch.randn(2, 8), torch.randn(2, 6))
    assert all(torch.equal(projector.linear["6"].state_dict()[k], v) for k, v in before.items())


@pytest.mark.parametrize(("out_features", "width"), [(None, 8), (16, 16)])
def test_without_a_teacher_the_width_is_out_features(out_features: int | None, width: int) -> None:
    projector, student = Projector(out_features), torch.randn(2, 8)
    projector.build(student, None)
    projected, teacher = projector(student, None)
    assert projected.shape == (2, width)
    assert teacher is None


def test_in_evaluation_the_width_is_that_of_training() -> None:
    projector, student = Projector(), torch.randn(2, 8)
    projector.build(student, torch.randn(2, 6))
    assert projector(student, None)[0].shape == (2, 6)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_another_rank_is_an_error(role: str) -> None:
    good, bad = torch.randn(2, 8), torch.randn(2, 3, 8)
    with pytest.raises(
        ValueError, match=rf"features of the {role} has shape \[2, 3, 8\].*\[N, D, 1, L"
    ):
        Projector().build(*((bad, good) if role == "student" else (good, bad)))


def test_unknown_positions_are_an_error() -> None:
    with pytest.raises(ValueError, match="positions='max' is unknown: choose 'mean' or 'resize'"):
        Projector(positions="max")  # type: ignore[arg-type]  # the error


def test_a_projector_that_is_not_built_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"no layer for features of width 6 yet: call build\(\)"):
        Projector()(torch.randn(2, 8), torch.randn(2, 6))


def test_student_and_maps_have_gradients() -> None:
    projector = Projector(positions="resize")
    student = torch.randn(2, 4, 2, 3, requires_grad=True)
    teacher = torch.randn(2, 5, 3, 2)
    projector.build(student, teacher)
    projector.double()
    student_ = student.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: projector(x, teacher.double())[0], student_)
    nn.MSELoss()(*projector(student_, teacher.double())).backward()
    assert all(p.grad is not None and p.grad.any() for p in projector.parameters())


def test_other_samples_are_refused() -> None:
    student, teacher = torch.randn(3, 8), torch.randn(2, 6)
    projector = Projector()
    projector.build(student, teacher)
    with pytest.raises(
        ValueError, match=r"\[3, 8\], teacher has shape \[2, 6\]: give features of the same"
    ):
        projector(student, teacher)
