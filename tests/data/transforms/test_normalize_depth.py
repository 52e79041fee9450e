import pytest
import torch

from fdkd_lightning.data.transforms.normalize_depth import NormalizeDepth


def test_distances_are_standardised_and_holes_stay_0() -> None:
    depth = torch.tensor([[[[2.0, 0.0], [5.0, 3.5]]]])
    found = NormalizeDepth(mean=3.5, std=1.5)(depth)
    assert found.flatten().tolist() == pytest.approx([-1.0, 0.0, 1.0, 0.0])


def test_the_default_is_that_of_the_published_millimetres() -> None:
    depth = torch.tensor([2.84194941272766, 2.84194941272766 + 1.4172594281672277])
    assert NormalizeDepth()(depth).tolist() == pytest.approx([0.0, 1.0], abs=1e-5)


def test_a_deviation_of_0_and_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="std=0 must be above 0"):
        NormalizeDepth(std=0)
    with pytest.raises(ValueError, match="mean=nan must be a number"):
        NormalizeDepth(mean=float("nan"))
