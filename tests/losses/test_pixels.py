from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.pixels import (
    check_feature_maps,
    check_label_maps,
    check_width,
    labels_at,
    mean_of,
    pixel_rows,
    zero_where_void,
)
from fdkd_lightning.types import Output


def test_labels_are_those_of_the_nearest_pixel_above_left() -> None:
    labels = torch.arange(35).view(1, 5, 7)
    labels[0, 3, 4] = -100
    found = labels_at(labels, (3, 2))
    rows, columns = [0, 1, 3], [0, 3]
    assert found.tolist() == [[[labels[0, r, c].item() for c in columns] for r in rows]]
    assert labels_at(labels, (5, 7)) is labels


def test_rows_are_in_the_order_of_images_rows_and_columns() -> None:
    x = torch.randn(2, 3, 4, 5)
    rows = pixel_rows(x)
    assert torch.equal(rows[1 * 20 + 2 * 5 + 3], x[1, :, 2, 3])


def test_what_does_not_count_may_be_nan_and_gets_no_gradient() -> None:
    x = torch.tensor([1.0, torch.nan, 4.0], requires_grad=True)
    counted = torch.tensor([True, False, True])
    mean = mean_of(zero_where_void(x.view(1, 1, 1, 3), counted.view(1, 1, 3)).flatten(), counted)
    mean.backward()
    assert mean.item() == 2.5
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


def test_the_mean_of_nothing_is_zero_with_a_gradient_of_zero() -> None:
    x = torch.ones(2, requires_grad=True)
    mean = mean_of(x, torch.zeros(2, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (torch.full((1, 2, 2), 3), "target holds a value that is no class of 0..2"),
        (torch.full((1, 2, 2), -1), "no class of 0..2 and not -100"),
        (torch.zeros(1, 2, 3, dtype=torch.long), r"target has shape \[1, 2, 3\]"),
        (torch.zeros(1, dtype=torch.long), r"target has shape \[1\]"),
    ],
)
def test_targets_that_do_not_fit_are_refused(target: Tensor, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        check_label_maps("target", target, torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("shape", [(1, 8), (1, 8, 3, 2), (2, 8, 2, 2), (1, 0, 2, 2)])
def test_features_must_be_maps_of_one_size(shape: tuple[int, ...]) -> None:
    outputs: list[Any] = [Output(torch.ones(s), torch.zeros(1, 3)) for s in (shape, (1, 8, 2, 2))]
    with pytest.raises(ValueError, match="features have shape"):
        check_feature_maps(*outputs)


def test_maps_of_other_samples_or_channels_than_built_for_are_refused() -> None:
    counted = torch.ones(4, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"shape \[1, 8, 2, 2\] where \[4, 2, 2\] pixels"):
        zero_where_void(torch.zeros(1, 8, 2, 2), counted)
    with pytest.raises(ValueError, match="maps have 7 channels, but the loss was built for 8"):
        check_width(torch.zeros(3, 7), 8)
