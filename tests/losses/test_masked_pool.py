import pytest
import torch
import torch.nn.functional as F

from fdkd_lightning.losses.masked_pool import masked_pool


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("shape", [(4, 8), (5, 3), (1, 1)])
def test_where_all_pixels_count_it_is_average_pooling(size: int, shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *shape)
    pooled, kept = masked_pool(x, torch.ones(2, *shape, dtype=torch.bool), size)
    assert torch.equal(pooled, F.avg_pool2d(x, size, ceil_mode=True))
    assert kept.all()
    assert kept.shape == (2, *pooled.shape[2:])


def test_it_averages_the_pixels_that_count() -> None:
    x = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    counted = torch.rand(1, 5, 7) > 0.6
    counted[0, 4, 6] = False  # a block of its own
    pooled, kept = masked_pool(x * counted[:, None], counted, 2)
    for i in range(3):
        for j in range(4):
            block = counted[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            values = x[0, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2][:, block]
            expected = values.mean(1) if block.any() else torch.zeros(2, dtype=torch.float64)
            torch.testing.assert_close(pooled[0, :, i, j], expected, rtol=0, atol=1e-12)
            assert bool(kept[0, i, j]) == bool(block.any())


def test_no_images_have_no_blocks() -> None:
    pooled, kept = masked_pool(torch.zeros(0, 3, 5, 7), torch.zeros(0, 5, 7).bool(), 4)
    assert (pooled.shape, kept.shape) == ((0, 3, 2, 2), (0, 2, 2))
