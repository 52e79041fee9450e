from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss, FeatureLoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.step import DistillationStep
from fdkd_lightning.training.teachers import FrozenTeachers
from fdkd_lightning.types import Output


class Teacher(nn.Module):
    """Twice the input, and its first three entries."""

    def forward(self, x: Tensor) -> Output:
        return Output(2 * x, x[:, :3])


def teaching(criterion: Any = None, target: Any = "y", **settings: Any) -> DistillationStep:
    distiller = Distiller(criterion or FeatureLoss(), ["audio"], settings.pop("projector", None))
    return DistillationStep(
        FrozenTeachers({"audio": Teacher()}), distiller, target=target, **settings
    )


def batch(size: int = 4) -> dict[str, Any]:
    x = torch.arange(8.0 * size).reshape(size, 8)
    return {
        "audio": x,
        "also": {"sound": -x},
        "y": torch.arange(size) % 3,
        "id": torch.arange(size),
    }


def student(size: int = 4) -> Output:
    return Output(torch.ones(size, 8), torch.zeros(size, 3))


@pytest.mark.parametrize(("key", "sign"), [("audio", 1), ("also.sound", -1)])
def test_each_teacher_gets_its_entry(key: str, sign: int) -> None:
    found = teaching(inputs={"audio": key}).terms(student(), batch())
    expected = (2 * sign * batch()["audio"] - 1).square().mean()
    torch.testing.assert_close(found["feature"], expected)


def test_what_is_read_is_what_the_criterion_knows() -> None:
    found = teaching(inputs={}, index="id").read(batch())
    assert found.keys() == {"audio", "label", "index"}
    assert torch.equal(found["label"], batch()["y"])
    assert torch.equal(found["index"], batch()["id"])
    assert teaching(inputs={}, target=None).read(batch()).keys() == {"audio"}


def test_parts_are_built_by_a_batch() -> None:
    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())
    built = teaching(criterion, inputs={}, projector=Projector())
    with pytest.raises(ValueError, match="parts of FDKDLoss or a projector have no size yet"):
        built.check_sizes()
    built.build(Output(torch.ones(2, 5), torch.zeros(2, 3)), batch(2))
    built.check_sizes()
    assert list(built.terms(Output(torch.ones(4, 5), torch.zeros(4, 3)), batch())) == [
        "low",
        "high",
        "align",
    ]


@pytest.mark.parametrize(
    ("settings", "given", "error", "message"),
    [
        ({"target": "z"}, student(), KeyError, "target='z': .*; or set target=None, if it has no"),
        ({}, student(3), ValueError, "last ran on 3 samples, and target='y' has 4"),
        (
            {"target": "audio"},
            student(),
            TypeError,
            "target='audio': .* int64 tensor of classes; or set target=None",
        ),
        (
            {},
            Output(torch.full((4, 8), torch.nan), torch.zeros(4, 3)),
            ValueError,
            "student's features are NaN",
        ),
    ],
)
def test_a_batch_that_does_not_fit_is_told(
    settings: dict[str, Any], given: Output, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        teaching(inputs={}, **settings).terms(given, batch())


def test_values_are_looked_at_once() -> None:
    taught = teaching(inputs={})
    taught.terms(student(), batch())
    assert taught.is_checked
    taught.terms(student()._replace(features=torch.full((4, 8), torch.inf)), batch())
    taught.is_checked = False
    with pytest.raises(ValueError, match="NaN or infinite"):
        taught.terms(student()._replace(features=torch.full((4, 8), torch.inf)), batch())


def test_inputs_of_no_teacher_are_told() -> None:
    with pytest.raises(ValueError, match=r"names 'sound', which is none of the teachers' audio"):
        teaching(inputs={"sound": 1})
