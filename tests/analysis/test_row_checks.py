import pytest
import torch

from fdkd_lightning.analysis.row_checks import check_features, check_groups, check_paired


def test_features_are_returned_in_float64_without_gradient() -> None:
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    found = check_features("x", x)
    assert found.dtype == torch.float64
    assert found.tolist() == [[1, 2]]
    assert not found.requires_grad


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_counted(value: float) -> None:
    x = torch.zeros(2, 3)
    x[1] = value
    with pytest.raises(ValueError, match=r"y has shape \[2, 3\], with 3 values that are NaN"):
        check_paired(torch.zeros(2, 3), x)


def test_pairs_may_differ_in_width_but_not_in_rows() -> None:
    x, y = check_paired(torch.zeros(2, 3), torch.zeros(2, 5))
    assert (x.shape, y.shape) == ((2, 3), (2, 5))
    with pytest.raises(ValueError, match=r"x has shape \[2, 3\], y \[1, 3\]"):
        check_paired(torch.zeros(2, 3), torch.zeros(1, 3))


def test_groups_are_numbered_and_each_row_needs_one() -> None:
    assert check_groups("groups", torch.tensor([9, -4, 9]), 3, "x").tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="label holds -100, no label, among 2 rows: leave"):
        check_groups("label", torch.tensor([0, -100]), 2, "x")
    with pytest.raises(TypeError, match=r"label is torch\.float32"):
        check_groups("label", torch.zeros(2), 2, "x")
