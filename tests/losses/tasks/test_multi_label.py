import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fdkd_lightning.losses import MultiLabelTask

LOGITS = torch.tensor([[3.0, 1.0], [1.0, 1 / 7]], dtype=torch.float64).log()
"""Of the probabilities 3/4, 1/2, 1/2 and 1/8."""


def test_a_value_worked_out_by_hand() -> None:
    target = torch.tensor([[1.0, torch.nan], [0.0, 0.0]])
    # log 4/3 + log 2 + log 8/7, over three labels.
    expected = torch.tensor([4 / 3, 2.0, 8 / 7], dtype=torch.float64).log().mean()
    assert MultiLabelTask()(LOGITS, target).item() == pytest.approx(expected.item(), rel=1e-12)


def test_labels_may_be_of_any_real_dtype() -> None:
    target = torch.tensor([[1, 0], [0, 1]])
    expected = F.binary_cross_entropy_with_logits(LOGITS, target.double())
    for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool, torch.float16):
        torch.testing.assert_close(MultiLabelTask()(LOGITS, target.to(dtype)), expected)
    masked = torch.tensor([[1, -100], [-100, 1]])
    expected = F.binary_cross_entropy_with_logits(LOGITS.diag(), torch.ones(2).double())
    torch.testing.assert_close(MultiLabelTask()(LOGITS, masked), expected)


def test_positive_labels_have_weights_of_their_class_also_on_maps() -> None:
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    expected = F.binary_cross_entropy_with_logits(
        LOGITS, target, pos_weight=torch.tensor([2.0, 5.0]).double()
    )
    given = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 5.0]))
    for task in (MultiLabelTask(pos_weight=[2, 5]), MultiLabelTask(given)):
        torch.testing.assert_close(task(LOGITS, target), expected)
        # Two rows and columns, along which two weights could be broadcast.
        maps = (x[..., None, None].expand(-1, -1, 2, 2) for x in (LOGITS, target))
        torch.testing.assert_close(task(*maps), expected)


def test_weights_of_another_number_are_refused() -> None:
    for shape in ((3,), (2, 1, 1)):
        task = MultiLabelTask(nn.BCEWithLogitsLoss(pos_weight=torch.ones(shape)))
        with pytest.raises(ValueError, match=r"pos_weight of shape \[.*give one per output, \[2\]"):
            task.check("labels", torch.zeros(2, 2), LOGITS)


@pytest.mark.parametrize("value", [2.0, -1.0, torch.inf])
def test_values_that_are_no_labels_are_refused(value: float) -> None:
    task, target = MultiLabelTask(), torch.tensor([[0.0, value], [torch.nan, 1.0]])
    with pytest.raises(ValueError, match=r"labels ranges from .*: give 0 or 1 per class"):
        task.check("labels", target, LOGITS)
    task.check("labels", torch.tensor([[-100, 1], [0, 1]]), LOGITS)
    with pytest.raises(TypeError, match="labels is list: give a tensor of 0 and 1"):
        task.check("labels", [[0, 1]], LOGITS)


def test_metrics_get_probabilities_and_whole_labels() -> None:
    task, target = MultiLabelTask(), torch.tensor([[1.0, torch.nan], [0.4, 0.5]])
    probabilities, labels = task.metric_inputs(LOGITS, target)
    assert probabilities.flatten().tolist() == pytest.approx([3 / 4, 1 / 2, 1 / 2, 1 / 8])
    assert labels.tolist() == [[1, -100], [0, 1]]
    assert task.predict(LOGITS[:, 0]).shape == (2, 1)
