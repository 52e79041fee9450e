import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import Decoupler
from fdkd_lightning.decoupler.base import check_threshold, last_low_bin, split
from fdkd_lightning.types import Bands


def test_a_decoupler_must_split() -> None:
    with pytest.raises(TypeError, match=r"abstract .*forward"):
        Decoupler()


def test_by_default_there_are_neither_terms_nor_logged_values() -> None:
    class Nothing(Decoupler):
        def forward(self, x: Tensor) -> Bands:
            return Bands(x, x)

    assert Nothing().dim == 1
    assert Nothing(dim=-1).dim == -1
    assert Nothing().terms() == Nothing().logged_values() == {}


@pytest.mark.parametrize("dim", [1, -1])
@pytest.mark.parametrize("keep_dc", [False, True])
def test_the_high_band_is_what_the_low_one_leaves(dim: int, keep_dc: bool) -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 8.0]]], dtype=torch.float64)
    low, high = split(x, dim, keep_dc, lambda centred: centred / 4)
    mean = x.mean(dim, keepdim=True)
    torch.testing.assert_close(low, (x - mean) / 4 + keep_dc * mean, rtol=0, atol=1e-15)
    torch.testing.assert_close(high, (x - mean) * 3 / 4, rtol=0, atol=1e-15)


def test_the_low_part_is_made_of_mean_free_features_whose_axis_is_last() -> None:
    seen = []

    def low_part(centred: Tensor) -> Tensor:
        seen.append(centred)
        return centred

    split(torch.randn(2, 5, 3, 4) + 7, 1, True, low_part)
    assert seen[0].shape == (2, 3, 4, 5)
    torch.testing.assert_close(seen[0].mean(-1), torch.zeros(2, 3, 4), rtol=0, atol=1e-7)


@pytest.mark.parametrize("threshold", [1e-9, 0.5, 1 - 1e-9])
def test_a_threshold_in_0_and_1_passes(threshold: float) -> None:
    check_threshold(threshold)


@pytest.mark.parametrize(
    ("threshold", "last", "cut"),
    [
        (1 / 2, 256, 128),
        (1 / 3, 255, 85),
        (0.29, 100, 29),  # 0.29 * 100 is 28.999999999999996
        (0.57, 100, 57),  # 0.57 * 100 is 56.99999999999999
        (0.999, 100, 99),
        (0.01, 100, 1),
    ],
)
def test_the_low_band_ends_at_the_threshold(threshold: float, last: int, cut: int) -> None:
    assert last_low_bin(threshold, 2 * last, last) == cut


def test_the_smallest_size_is_named_if_no_threshold_would_do() -> None:
    with pytest.raises(ValueError, match=r"low band of features of size 2 empty .* at least 3"):
        last_low_bin(0.5, 2, 1, least=3)


def test_a_split_with_a_method_under_its_earlier_name_is_refused() -> None:
    with pytest.raises(TypeError, match="record is now called logged_values"):
        type("Mine", (Decoupler,), {"record": lambda self: {}})
