import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.analysis import band_similarity, collect_features
from fdkd_lightning.types import Output


def waves(*frequencies: float, size: int = 64) -> Tensor:
    n = torch.arange(size, dtype=torch.float64)
    return torch.stack([torch.cos(2 * torch.pi * f * n / size) for f in frequencies])


def test_bands_are_compared_each_with_its_own_kind() -> None:
    # Alike below the cut-off at bin 16, opposite above it: 2/3 and 1/3 of the power.
    low, high = waves(3), waves(20)
    x, y = 2**0.5 * low + high, 2**0.5 * low - high
    assert band_similarity(x, y) == pytest.approx((1, -1, 1 / 3), abs=1e-12)


def test_a_shared_mean_makes_strangers_alike_in_the_low_band_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    # The mean that gives independent vectors a raw similarity of 0.8379: m^2 / (m^2 + 1).
    mean = (0.8379 / (1 - 0.8379)) ** 0.5
    x, y = torch.randn(2, 744, 512, generator=generator) + mean
    with_dc = band_similarity(x, y, keep_dc=True)
    assert with_dc == pytest.approx((0.912, 0, 0.838), abs=0.005)
    assert band_similarity(x, y) == pytest.approx((0, 0, 0), abs=0.01)


def test_the_mean_is_over_pairs() -> None:
    x = torch.cat([waves(3, 20), waves(3, 20)])
    assert band_similarity(x, -x).raw == pytest.approx(-1)
    half = band_similarity(x[:1].repeat(2, 1), torch.cat([x[:1], -x[:1]]))
    assert half.low == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shapes", [((4, 8), (4, 16)), ((4, 8), (3, 8)), ((4, 8, 1), (4, 8, 1))])
def test_what_cannot_be_paired_is_an_error(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"has shape .*: (give \[N, D\]|pair the rows)"):
        band_similarity(*(torch.ones(shape) for shape in shapes))


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Output:
        return Output(2 * x if not self.training else x, x)


def test_features_are_those_of_eval_mode_in_order() -> None:
    batches = [{"audio": torch.tensor([[1.0], [2.0]])}, {"audio": torch.tensor([[3.0]])}]
    assert collect_features(Doubled(), batches, "audio").tolist() == [[2], [4], [6]]
