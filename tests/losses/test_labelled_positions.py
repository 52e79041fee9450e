import pytest
import torch
from torch import nn

from fdkd_lightning.decoupler import FrequencyDecoupler, SpatialFrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss, LogMSELoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.labelled_positions import LabelledPositions
from fdkd_lightning.types import Output


def batch() -> tuple[Output, Output, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        Output(
            torch.randn(3, 6, 5, 4, dtype=torch.float64, generator=generator),
            torch.randn(3, 3, 10, 8, dtype=torch.float64, generator=generator),
        )
        for _ in range(2)
    )
    target = torch.randint(-1, 3, (3, 10, 8), generator=generator)
    return student, teacher, target.where(target >= 0, -100)


@pytest.mark.parametrize("loss", [nn.MSELoss(), LogMSELoss()])
def test_the_distance_is_that_of_the_labelled_rows(loss: nn.Module) -> None:
    student, teacher, target = batch()
    labelled = LabelledPositions(target, student.features)
    rows = [x.features.movedim(1, -1)[target[:, ::2, ::2] >= 0] for x in (student, teacher)]
    found = labelled.distance(loss, student.features, teacher.features)
    torch.testing.assert_close(found, loss(*rows), rtol=1e-12, atol=0)


def test_fdkd_of_labelled_positions_is_that_of_their_vectors() -> None:
    student, teacher, target = batch()
    found = FDKDLoss(FrequencyDecoupler(), void="exclude")(student, teacher, target)
    mask = target[:, ::2, ::2] >= 0
    rows = (
        Output(o.features.movedim(1, -1)[mask], torch.zeros(int(mask.sum()), 3))
        for o in (student, teacher)
    )
    expected = FDKDLoss(FrequencyDecoupler())(*rows, target[:, ::2, ::2][mask])
    for name, term in expected.items():
        torch.testing.assert_close(found[name], term, rtol=1e-10, atol=0)


@pytest.mark.parametrize("split", [FrequencyDecoupler(), SpatialFrequencyDecoupler()])
def test_void_positions_take_no_part(split: nn.Module) -> None:
    results = []
    for value in (None, torch.nan):
        student, teacher, target = batch()
        target[1] = -100
        if value is not None:
            for output in (student, teacher):
                output.features.movedim(1, -1)[target[:, ::2, ::2] < 0] = value
        torch.manual_seed(0)
        loss = FDKDLoss(split, SharedAlignmentHead(6, 3), void="exclude").double()  # type: ignore[arg-type]
        results.append(loss(student, teacher, target))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    empty = loss(student, teacher, torch.full_like(target, -100))
    assert not any(term.item() for term in empty.values())
    assert loss(student, None, target).keys() == {"align"}


def test_vectors_have_no_positions() -> None:
    output = Output(torch.zeros(2, 8), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"void='exclude' got features \[2, 8\]"):
        FDKDLoss(FrequencyDecoupler(), void="exclude")(output, output, torch.tensor([0, 1]))
