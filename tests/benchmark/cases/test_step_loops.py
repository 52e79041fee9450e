import pytest
import torch
from torch import nn

from fdkd_lightning.benchmark.cases.networks import SMALL, STUDENT, SyntheticPairs
from fdkd_lightning.benchmark.cases.step_loops import HandLoop, OwnModule, fit_seconds
from fdkd_lightning.types import Output


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 10)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> Output:
        self.calls += 1
        features = x.mean((2, 3))
        return Output(features, self.fc(features))


@pytest.fixture
def data() -> SyntheticPairs:
    data = SyntheticPairs(SMALL._replace(side=4, batch=2), batches=2)
    data.setup("fit")
    return data


def test_a_hand_loop_runs_one_step_more_than_it_times(data: SyntheticPairs) -> None:
    student, teacher = Counted(), Counted()
    before = student.fc.weight.detach().clone()
    assert HandLoop(data.train_dataloader(), student, teacher)(4) > 0
    assert (student.calls, teacher.calls) == (5, 5)
    assert not torch.equal(before, student.fc.weight)


def test_a_fit_runs_one_step_more_than_it_times(data: SyntheticPairs) -> None:
    network = Counted()
    assert fit_seconds(OwnModule(network), data, 4) > 0
    assert network.calls == 5


def test_the_hand_loop_and_the_module_train_alike(data: SyntheticPairs) -> None:
    torch.manual_seed(0)
    first, second = Counted(), Counted()
    second.load_state_dict(first.state_dict())
    HandLoop(list(data.train_dataloader()), first)(1)
    fit_seconds(OwnModule(second), data, 1)
    assert torch.equal(first.fc.weight, second.fc.weight)
    assert STUDENT == "visual"
