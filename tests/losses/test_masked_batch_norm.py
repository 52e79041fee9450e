import pytest
import torch
from torch import nn

from fdkd_lightning.losses.masked_batch_norm import MaskedBatchNorm, PixelProjection


def test_it_is_batch_norm_of_the_rows_in_the_mask() -> None:
    torch.manual_seed(0)
    ours, torchs = MaskedBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    torchs.load_state_dict(ours.state_dict(), strict=False)
    for _ in range(3):
        x = torch.randn(8, 3, dtype=torch.float64) + 5
        mask = torch.rand(8) > 0.4
        kept = x[mask].clone().requires_grad_()
        spoilt = x.clone()
        spoilt[~mask] = 1e6
        spoilt.requires_grad_()
        found, expected = ours(spoilt, mask)[mask], torchs(kept)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        found.square().sum().backward()
        expected.square().sum().backward()
        assert spoilt.grad is not None
        assert not spoilt.grad[~mask].any()
        torch.testing.assert_close(spoilt.grad[mask], kept.grad, rtol=0, atol=1e-10)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(torchs, name))
    x = torch.randn(8, 3, dtype=torch.float64)
    torch.testing.assert_close(ours.eval()(x, x[:, 0] > 9), torchs.eval()(x))


@pytest.mark.parametrize("rows", [0, 4])
def test_without_rows_the_running_statistics_stay(rows: int) -> None:
    norm = MaskedBatchNorm(2)
    norm.running_mean.fill_(3)
    x = torch.full((rows, 2), 4.0, requires_grad=True)
    found = norm(x, torch.zeros(rows, dtype=torch.bool))
    torch.testing.assert_close(found, torch.ones(rows, 2), rtol=1e-4, atol=0)
    assert norm.running_mean.tolist() == [3, 3]
    found.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in norm.parameters())


def test_rows_of_one_value_are_zero_instead_of_residue() -> None:
    x = torch.full((7, 1), 0.1).requires_grad_()
    found = MaskedBatchNorm(1)(x, torch.ones(7, dtype=torch.bool))
    found.sum().backward()
    assert not found.any()
    assert x.grad is not None
    assert not x.grad.any()


def test_the_projection_is_two_convolutions() -> None:
    torch.manual_seed(0)
    ours = PixelProjection(3, 5).double()
    layers = nn.Sequential(
        nn.Conv2d(3, 5, 1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 5, 1, bias=False),
    ).double()
    for mine, layer in ((ours.first, layers[0]), (ours.second, layers[3])):
        layer.weight.data = mine.weight.data[:, :, None, None].clone()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    found = ours(x.movedim(1, -1).flatten(0, 2), torch.ones(40, dtype=torch.bool))
    expected = layers(x).movedim(1, -1).flatten(0, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
