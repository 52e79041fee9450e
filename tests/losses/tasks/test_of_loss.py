import pytest
from torch import Tensor, nn

from fdkd_lightning.losses import MultiLabelTask, OneClassTask, RegressionTask
from fdkd_lightning.losses.tasks.of_loss import task_of


class Weighted(nn.MSELoss):
    """A loss of one's own."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return 2 * super().forward(input, target)


def test_the_loss_tells_the_task() -> None:
    assert type(task_of(None)) is OneClassTask
    assert type(task_of(nn.CrossEntropyLoss())) is OneClassTask
    assert type(task_of(nn.BCEWithLogitsLoss())) is MultiLabelTask
    for loss in (nn.MSELoss(), nn.HuberLoss(), nn.SmoothL1Loss(), nn.L1Loss(), Weighted()):
        assert type(task_of(loss)) is RegressionTask
    task = MultiLabelTask(nn.MSELoss())
    assert task_of(task) is task


@pytest.mark.parametrize("loss", [nn.KLDivLoss(), nn.NLLLoss(), "mse", 3, nn.MSELoss])
def test_others_are_to_be_wrapped(loss: object) -> None:
    with pytest.raises(TypeError, match=r"task_loss=.* is of type .*, or wrap it in one of OneCl"):
        task_of(loss)
