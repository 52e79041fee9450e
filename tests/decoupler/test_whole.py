import pytest
import torch

from fdkd_lightning.decoupler import WholeDecoupler


@pytest.mark.parametrize(("shape", "dim"), [((3, 8), 1), ((2, 5, 9), -1), ((2, 6, 2, 3), 1)])
def test_the_low_band_is_all_but_the_mean(shape: tuple[int, ...], dim: int) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = WholeDecoupler(dim)(x)
    torch.testing.assert_close(low, x - x.mean(dim, keepdim=True), rtol=0, atol=1e-14)
    assert torch.equal(high, torch.zeros_like(x))
    assert repr(WholeDecoupler(dim)) == f"WholeDecoupler(dim={dim})"
