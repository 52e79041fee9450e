import pytest
import torch

from fdkd_lightning.ops.haar_transform import haar_dwt, haar_idwt


def test_the_bands_of_a_block_worked_out_by_hand() -> None:
    # Half of 1 + 2 + 3 + 10; of 3 - 13, 4 - 12 and 11 - 5.
    low, (details,) = haar_dwt(torch.tensor([[[[1.0, 2.0], [3.0, 10.0]]]]), levels=1)
    assert low.flatten().tolist() == [8.0]
    assert details.flatten().tolist() == [-5.0, -4.0, 3.0]


def test_a_constant_map_has_no_details_and_doubles_at_each_level() -> None:
    low, details = haar_dwt(torch.full((1, 2, 8, 16), 3.0))
    assert torch.equal(low, torch.full((1, 2, 1, 2), 24.0))
    assert [list(detail.shape) for detail in details] == [
        [1, 2, 3, 4, 8],
        [1, 2, 3, 2, 4],
        [1, 2, 3, 1, 2],
    ]
    assert not any(detail.count_nonzero() for detail in details)


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1), (2, 3), (16, 1), (9, 12)])
@pytest.mark.parametrize("levels", [1, 3, 5])
def test_the_inverse_gives_the_maps_back(size: tuple[int, int], levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    low, details = haar_dwt(x, levels)
    torch.testing.assert_close(haar_idwt(low, details, size), x, rtol=0, atol=1e-12)
    # Orthogonal: nothing is lost, nothing amplified.
    energy = low.square().sum() + sum(detail.square().sum() for detail in details)
    torch.testing.assert_close(energy, x.square().sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_transformed_in_float32(dtype: torch.dtype) -> None:
    x = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    low, _ = haar_dwt(x)
    assert torch.equal(low, haar_dwt(x.float())[0])
