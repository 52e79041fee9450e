import pytest
import torch
from torch import Tensor

from fdkd_lightning.training.taught_check import TaughtCheck
from fdkd_lightning.types import Output


def output(scale: float = 2.0) -> Output:
    leaf = torch.ones(2, 3, requires_grad=True)
    return Output(scale * leaf, leaf.exp(), (leaf.sin(),))


def check(terms: list[Tensor], student: Output | None, teachers: bool = True) -> None:
    taught = TaughtCheck()
    taught.note(terms, student)
    taught.check_epoch("Mine", "its outputs", teachers)


@pytest.mark.parametrize("part", ["features", "logits", "maps"])
def test_a_term_of_any_output_teaches(part: str) -> None:
    student = output()
    value = student.maps[0] if part == "maps" else getattr(student, part)
    check([torch.zeros(()), value.sum()], student)
    with pytest.raises(RuntimeError, match="no term in the loss of Mine came from its outputs"):
        check([value.detach().sum()], student)


def test_a_term_of_the_same_network_beside_its_outputs_does_not_teach() -> None:
    student, other = output(), output()
    with pytest.raises(RuntimeError, match="nothing was distilled"):
        check([other.features.sum()], student)


def test_one_step_of_an_epoch_is_enough_and_each_epoch_counts() -> None:
    student, taught = output(), TaughtCheck()
    taught.note([student.features.sum()], student)
    taught.note([torch.zeros(())], student)
    taught.check_epoch("Mine", "its outputs", True)
    taught.start_epoch()
    taught.note([torch.zeros(())], student)
    with pytest.raises(RuntimeError):
        taught.check_epoch("Mine", "its outputs", True)


def test_without_terms_there_is_a_warning_if_there_are_teachers() -> None:
    check([], output(), teachers=False)
    check([], None, teachers=False)
    TaughtCheck().check_epoch("Mine", "its outputs", True)  # an epoch without steps
    with pytest.warns(UserWarning, match="in a whole epoch the criterion gave no term"):
        check([], None)
