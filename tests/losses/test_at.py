import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from fdkd_lightning.losses.at import ATLoss, at_loss
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.types import Output

Distance = Literal["squared", "norm"]


def pooled(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Adaptive average pooling: cell i of n covers floor(i L / n) to ceil((i + 1) L / n)."""
    cells = np.empty((*x.shape[:2], height, width))
    for i in range(height):
        for j in range(width):
            rows = slice(i * x.shape[2] // height, math.ceil((i + 1) * x.shape[2] / height))
            columns = slice(j * x.shape[3] // width, math.ceil((j + 1) * x.shape[3] / width))
            cells[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return cells


def by_hand(
    student: list[np.ndarray], teacher: list[np.ndarray], p: float, distance: Distance
) -> float:
    """Stage by stage and sample by sample."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        height, width = (min(s.shape[axis], t.shape[axis]) for axis in (2, 3))
        squares = []
        for student_map, teacher_map in zip(
            pooled(s, height, width), pooled(t, height, width), strict=True
        ):
            maps = [(np.abs(x) ** p).sum(0).flatten() / len(x) for x in (student_map, teacher_map)]
            unit = [q / math.sqrt(sum(q * q)) for q in maps]
            squares.append(sum((unit[0] - unit[1]) ** 2))
        if distance == "norm":
            total += sum(math.sqrt(x) for x in squares) / len(squares) / 2
        else:
            total += sum(squares) / (len(squares) * height * width)
    return total


def maps_of(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) for shape in shapes]


def test_a_value_worked_out_by_hand() -> None:
    # Two channels (3, 0) and (0, 2): squares 9 and 4, of length sqrt(97); against (1, 0):
    # ((1 - 9/sqrt(97))^2 + (4/sqrt(97))^2) / 2 = 1 - 9/sqrt(97).
    student = torch.tensor([[[[3.0, 0.0]], [[0.0, 2.0]]]], dtype=torch.float64)
    teacher = torch.tensor([[[[-7.0, 0.0]]]], dtype=torch.float64)
    assert at_loss([student], [teacher]).item() == pytest.approx(1 - 9 / 97**0.5, abs=1e-14)
    norm = at_loss([student], [teacher], distance="norm")
    assert norm.item() == pytest.approx(math.sqrt(2 * (1 - 9 / 97**0.5)) / 2, abs=1e-14)


@pytest.mark.parametrize("distance", ["squared", "norm"])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ([(3, 5, 4, 4)], [(3, 5, 4, 4)]),
        ([(3, 2, 8, 8), (3, 4, 5, 5)], [(3, 5, 4, 4), (3, 7, 5, 5)]),
        ([(2, 2, 3, 2)], [(2, 6, 7, 5)]),
        # The larger in one axis is the smaller in the other.
        ([(2, 2, 8, 3)], [(2, 4, 4, 7)]),
        ([(2, 2, 4, 9)], [(2, 4, 4, 4)]),
        ([(1, 2, 1, 1)], [(1, 1, 3, 4)]),
    ],
)
def test_attention_of_every_size_is_compared_at_the_smaller(
    student: list[tuple[int, ...]],
    teacher: list[tuple[int, ...]],
    p: float,
    distance: Distance,
) -> None:
    student_maps, teacher_maps = maps_of(*student), maps_of(*teacher, seed=1)
    expected = by_hand(student_maps, teacher_maps, p, distance)
    double = [[torch.from_numpy(x) for x in maps] for maps in (student_maps, teacher_maps)]
    assert at_loss(*double, p, distance).item() == pytest.approx(expected, abs=1e-8)
    single = [[x.float() for x in maps] for maps in double]
    assert at_loss(*single, p, distance).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_default_is_the_published_code(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair(dtype=torch.float64)
    student_maps, teacher_maps = (
        [x.detach().numpy() for x in output.maps] for output in (student, teacher)
    )
    expected = 1000 * by_hand(student_maps, teacher_maps, 2, "squared")
    assert ATLoss()(student, teacher, target)["at"].item() == pytest.approx(expected, abs=1e-8)


def test_the_options_reach_the_function(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    loss = ATLoss(p=1, distance="norm", stages=[-1, 0], weight=3)
    student_maps, teacher_maps = ([output.maps[3], output.maps[0]] for output in (student, teacher))
    expected = 3 * at_loss(student_maps, teacher_maps, 1, "norm")
    assert torch.equal(loss(student, teacher, target)["at"], expected)


def test_only_where_a_map_is_active_counts() -> None:
    student = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    louder = torch.tensor([10.0, 0.1], dtype=torch.float64)[:, None, None, None] * student.flip(1)
    assert at_loss([student], [louder]).item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("distance", ["squared", "norm"])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_silent_maps_have_no_gradient(p: float, distance: Distance) -> None:
    for teacher in (torch.zeros(2, 3, 4, 4), torch.randn(2, 3, 4, 4)):
        student = torch.zeros(2, 3, 4, 4, requires_grad=True)
        loss = at_loss([student], [teacher], p, distance)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert not gradient.count_nonzero()


@pytest.mark.parametrize("distance", ["squared", "norm"])
def test_equal_maps_have_no_gradient(distance: Distance) -> None:
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(at_loss([student], [student], 2, distance), student)
    assert not gradient.count_nonzero()


@pytest.mark.parametrize(("text", "stages"), [("[0, -1]", (0, -1)), ("[2]", (2,)), ("null", None)])
def test_stages_are_read_from_yaml(text: str, stages: tuple[int, ...] | None) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(DistillationLoss, "criterion")
    options = f"{{p: 1, distance: norm, stages: {text}}}"
    config = f"criterion: {{class_path: fdkd_lightning.losses.ATLoss, init_args: {options}}}"
    loss = parser.instantiate(parser.parse_string(config)).criterion
    assert isinstance(loss, ATLoss)
    assert (loss.p, loss.distance, loss.stages, loss.weight) == (1, "norm", stages, 1000)


def test_the_loss_has_no_state() -> None:
    assert ATLoss(stages=[0]).state_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0.5}, "p=0.5 must be at least 1"),
        ({"p": float("nan")}, "p=nan must be at least 1"),
        ({"distance": "cosine"}, "distance='cosine' is unknown: choose 'squared' or 'norm'"),
        ({"stages": []}, r"stages=\[\] names no stage"),
    ],
)
def test_an_option_out_of_range_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ATLoss(**options)


@pytest.mark.parametrize(("of_student", "of_teacher"), [(1, 2), (2, 3)])
def test_other_numbers_of_maps_are_an_error(of_student: int, of_teacher: int) -> None:
    student, teacher = (
        Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.ones(2, 8, 4, 4),) * n)
        for n in (of_student, of_teacher)
    )
    with pytest.raises(
        ValueError, match=f"student has {of_student} maps, the teacher {of_teacher}.*`stages`"
    ):
        ATLoss()(student, teacher, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="stage=3 is not among"):
        ATLoss(stages=[3])(student, teacher, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("of_student", "of_teacher", "who"), [(0, 1, "student"), (1, 0, "teacher")]
)
def test_no_maps_are_an_error(of_student: int, of_teacher: int, who: str) -> None:
    student, teacher = (
        Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.ones(2, 8, 4, 4),) * n)
        for n in (of_student, of_teacher)
    )
    with pytest.raises(ValueError, match=f"0 maps of the {who}'s Output.*return its stages' maps"):
        ATLoss()(student, teacher, torch.tensor([0, 1]))


@pytest.mark.parametrize("p", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e5, 1e9])
def test_the_scale_of_the_maps_does_not_matter(p: float, scale: float) -> None:
    student, teacher = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64).unbind()
    expected = at_loss([student], [teacher], p).item()
    maps = [(scale * student).float().requires_grad_()]
    found = at_loss(maps, [(teacher / scale**0.5).float()], p)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert maps[0].grad is not None
    assert maps[0].grad.isfinite().all()
    assert maps[0].grad.any()


def test_what_is_no_map_of_the_same_samples_is_named() -> None:
    one, four = torch.randn(1, 2, 3, 3), torch.randn(4, 2, 3, 3)
    with pytest.raises(ValueError, match=r"student has shape \[1, 2, 3, 3\], teacher \[4, 2, 3"):
        at_loss([one], [four])
    with pytest.raises(ValueError, match=r"map 0 of the teacher has dtype torch\.complex64"):
        at_loss([four], [four.cfloat()])
    with pytest.raises(ValueError, match="p=nan must be at least 1"):
        at_loss([four], [four], p=float("nan"))
    assert at_loss([four[:0]], [four[:0]]).item() == 0
