from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.losses import MultiLabelTask, RegressionTask
from fdkd_lightning.losses.tasks.per_output import PerOutputTask

BOTH = pytest.mark.parametrize("kind", [MultiLabelTask, RegressionTask])


class Rows(nn.MSELoss):
    """Gives one value per sample, whatever its reduction."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return (input - target).square().flatten(1).mean(1)


@BOTH
def test_the_axis_of_a_single_output_may_be_missing(kind: Callable[[], PerOutputTask]) -> None:
    outputs, target = torch.randn(4, 1), torch.tensor([0.0, 1.0, torch.nan, 1.0])
    whole = kind()(outputs, target[:, None])
    for z in (outputs, outputs[:, 0]):
        for y in (target, target[:, None]):
            if z.ndim == 1 and y.ndim == 2:
                continue
            assert torch.equal(kind()(z, y), whole)
    maps = torch.randn(2, 1, 3, 4)
    assert torch.equal(kind()(maps, maps.sigmoid()), kind()(maps, maps.sigmoid()[:, 0]))


@BOTH
@pytest.mark.parametrize(
    ("outputs", "target"),
    [((4, 1), (1, 4)), ((4,), (1,)), ((4, 3), (4,)), ((4, 3), (3, 4)), ((4, 2, 3, 3), (4, 3, 3))],
)
def test_nothing_else_is_broadcast(
    kind: Callable[[], PerOutputTask], outputs: tuple[int, ...], target: tuple[int, ...]
) -> None:
    message = rf"target has shape \[{', '.join(map(str, target))}\], .* one label per output"
    with pytest.raises(ValueError, match=message):
        kind()(torch.zeros(outputs), torch.zeros(target))


@BOTH
def test_missing_labels_change_nothing_and_get_no_gradient(
    kind: Callable[[], PerOutputTask],
) -> None:
    outputs = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan], [0.0, 1.0]])
    kind()(outputs, target).backward()
    assert outputs.grad is not None
    assert outputs.grad.ne(0).tolist() == [[True, False], [False, False], [True, True]]
    known = kind()(outputs[[0, 2, 2], [0, 0, 1]][:, None], torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(kind()(outputs, target), known)
    assert torch.autograd.gradcheck(lambda z: kind()(z, target), outputs)


@BOTH
def test_without_any_label_loss_and_gradient_are_zero(kind: Callable[[], PerOutputTask]) -> None:
    for size in ((3, 2), (0, 2)):
        outputs = torch.randn(size, requires_grad=True)
        task = kind()
        loss = task(outputs, task.unlabelled(outputs))
        loss.backward()
        assert loss.item() == 0
        assert outputs.grad is not None
        assert not outputs.grad.any()


@BOTH
def test_half_precision_is_summed_in_float32(kind: Callable[[], PerOutputTask]) -> None:
    outputs = torch.randn(400, 300).half()
    loss = kind()(outputs, torch.ones(400, 300))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, kind()(outputs.float(), torch.ones(400, 300)))


def test_a_loss_that_gives_no_value_per_output_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Rows returns \[4\] for outputs \[4, 2\]"):
        RegressionTask(Rows())(torch.zeros(4, 2), torch.zeros(4, 2))


def test_the_positions_of_labels() -> None:
    task = RegressionTask()
    assert task.positions(torch.zeros(4, 3), 3) == ()
    assert task.positions(torch.zeros(4), 1) == ()
    assert task.positions(torch.zeros(4, 3, 5, 6), 3) == (5, 6)
    assert task.positions(torch.zeros(4, 5, 6), 1) == (5, 6)
