import pytest
import torch
from torch import nn

from fdkd_lightning.losses.non_local import NonLocalBlock


def made(features: int = 4) -> NonLocalBlock:
    torch.manual_seed(0)
    return NonLocalBlock(features).double()


def test_it_is_attention_over_the_pixels_that_count() -> None:
    block = made(5).eval()
    x = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    counted = torch.tensor([[[True] * 3] * 2, [[True, False, True], [False, True, False]]])
    found = block(x, counted)

    def norm(layer: nn.Module, row: torch.Tensor) -> torch.Tensor:
        return (layer(row) / (1 + 1e-5) ** 0.5).relu()

    for n in range(2):
        pixels = x[n].flatten(1).T
        used = pixels[counted[n].flatten()]
        for p, pixel in enumerate(pixels):
            scores = (block.key(used) @ block.query(pixel)) / 2**0.5
            gathered = norm(block.gathered, scores.softmax(0) @ block.value(used))
            expected = norm(block.out, torch.cat([pixel, gathered]))
            torch.testing.assert_close(found[n].flatten(1)[:, p], expected, rtol=0, atol=1e-12)


def test_pixels_that_do_not_count_do_not_matter_to_others() -> None:
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    counted = torch.ones(2, 3, 3, dtype=torch.bool)
    counted[0, 1] = counted[1] = False
    other = x.clone()
    other[~counted[:, None].expand_as(x)] = 7.0
    first, second = made()(x, counted), made()(other, counted)
    kept = counted[:, None].expand_as(first)
    torch.testing.assert_close(first[kept], second[kept], rtol=0, atol=1e-12)
    assert first.isfinite().all()


def test_one_channel_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="features=1 cannot be halved"):
        NonLocalBlock(1)
