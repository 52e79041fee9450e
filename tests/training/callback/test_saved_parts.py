import pytest
import torch
from torch import nn

from fdkd_lightning.losses import FeatureLoss
from fdkd_lightning.training.callback.saved_parts import load_parts, parts_state
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.types import Output


def distiller(width: int, constant: float) -> Distiller:
    made = Distiller(FeatureLoss(), ["audio"], Projector())
    student, teacher = (Output(torch.zeros(2, n), torch.zeros(2, 3)) for n in (4, width))
    made.build(student, {"audio": teacher})
    for parameter in made.parameters():
        nn.init.constant_(parameter, constant)
    return made


def constants(parts: nn.Module) -> set[float]:
    return {float(x) for parameter in parts.parameters() for x in parameter.flatten()}


def test_parts_and_their_averages_come_back() -> None:
    state = parts_state(distiller(6, 1.0), [distiller(6, 2.0)])
    fresh, average = distiller(6, 0.0), distiller(6, 0.0)
    load_parts(state, fresh, [average])
    assert (constants(fresh), constants(average)) == ({1.0}, {2.0})


def test_once_fit_has_ended_the_average_is_that_of_the_module() -> None:
    fresh, average = distiller(6, 0.0), distiller(6, 0.0)
    load_parts(parts_state(distiller(6, 1.0), []), fresh, [average])
    assert (constants(fresh), constants(average)) == ({1.0}, {1.0})


def test_a_checkpoint_of_other_parts_is_an_error_and_one_without_is_none() -> None:
    load_parts({}, fresh := distiller(6, 0.5), [])
    assert constants(fresh) == {0.5}
    with pytest.raises(ValueError, match="written with another criterion, projector or teachers"):
        load_parts(parts_state(distiller(5, 1.0), []), fresh, [])
