from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler, LearnableFrequencyDecoupler
from fdkd_lightning.losses.band_comparison import BandComparison
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.signed_log import SignedLog1p
from fdkd_lightning.losses.standardizer import UnitLength, UnitVariance
from fdkd_lightning.types import Bands


class Doubled(FrequencyDecoupler):
    def forward(self, x: Tensor) -> Bands:
        return super().forward(x.square())


def hooked() -> LogMSELoss:
    loss = LogMSELoss()
    loss.register_forward_hook(lambda _, __, value: 2 * value)
    return loss


def is_fused(with_bands: bool = False, **changed: Any) -> bool:
    parts: dict[str, Any] = {
        "decoupler": FrequencyDecoupler(),
        "low_loss": nn.MSELoss(),
        "high_loss": LogMSELoss(),
        "band_standardizer": UnitLength(),
    }
    x = torch.randn(3, 16, requires_grad=True)
    low = BandComparison(**parts | changed)(x, torch.randn(3, 16), None, with_bands)[0]
    return "_BandDistances" in type(low.grad_fn).__name__


def test_default_parts_are_fused() -> None:
    assert is_fused()
    assert is_fused(with_bands=True)
    assert is_fused(decoupler=FrequencyDecoupler(keep_dc=True))


@pytest.mark.parametrize(
    "changed",
    [
        {"decoupler": Doubled()},
        {"decoupler": LearnableFrequencyDecoupler()},
        {"decoupler": FrequencyDecoupler(keep_dc=True), "with_bands": True},
        {"low_loss": nn.L1Loss()},
        {"low_loss": nn.MSELoss(reduction="sum")},
        {"high_loss": nn.MSELoss()},
        {"high_loss": hooked()},
        {"band_standardizer": UnitVariance()},
        {"feature_standardizer": UnitLength()},
        {"high_transform": SignedLog1p()},
    ],
    ids=str,
)
def test_other_parts_are_called(changed: dict[str, Any]) -> None:
    assert not is_fused(**changed)


def test_half_precision_is_computed_in_float32_under_autocast_too() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(4, 64, dtype=torch.bfloat16) for _ in range(2))
    compare = BandComparison(FrequencyDecoupler(), nn.MSELoss(), LogMSELoss(), UnitLength())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = compare(x, y)[:2]
    expected = compare(x.double(), y.double())[:2]
    for value, exact in zip(found, expected, strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)


def test_it_compiles_without_a_graph_break() -> None:
    x, y = torch.randn(4, 16), torch.randn(4, 16)
    compare = BandComparison(FrequencyDecoupler(), nn.MSELoss(), LogMSELoss(), UnitLength())
    compiled = torch.compile(lambda a, b: compare(a, b)[:2], fullgraph=True, backend="eager")
    for found, expected in zip(compiled(x, y), compare(x, y)[:2], strict=True):
        torch.testing.assert_close(found, expected)
