from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.freekd_prompts import freekd_prompts
from fdkd_lightning.ops.haar_transform import haar_dwt, haar_idwt


def random_maps(*shapes: Sequence[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]


def spread(prompts: Tensor, x: Tensor) -> tuple[float, float]:
    """The relative error of the maps restored from masked bands, and the masks' mean Dice sum."""
    low, details = haar_dwt(x)
    masks = [
        torch.einsum("tc,nchw->nthw", p, band).sigmoid()
        for p, band in zip(prompts, [low, *(detail.sum(2) for detail in details)], strict=True)
    ]
    kept = [2 * d * m.mean(1)[:, None, None] for d, m in zip(details, masks[1:], strict=True)]
    restored = haar_idwt(2 * low * masks[0].mean(1)[:, None], kept, x.shape[2:])
    dice = 0.0
    for mask in masks:
        for sample in mask.flatten(2).double().numpy():
            for t, a in enumerate(sample):
                for u, b in enumerate(sample):
                    if t != u:
                        pairs = len(mask) * len(sample) * (len(sample) - 1)
                        dice += 2 * (a @ b) / (a @ a + b @ b) / pairs
    return ((restored - x).square().sum() / x.square().sum()).item(), dice


def test_trained_prompts_differ_and_restore_the_maps() -> None:
    x = random_maps((4, 6, 16, 16))[0].float()
    options = {"num_tokens": 4, "progress": False}
    # At first all masks are 1/2: they restore the map, and are all the same.
    error, dice = spread(freekd_prompts([x], steps=1, **options), x)
    assert error < 0.01
    assert dice == pytest.approx(4, abs=0.05)
    error, dice = spread(freekd_prompts([x], steps=300, **options), x)
    assert error < 0.05
    assert dice < 2


def test_the_first_step_descends_the_formula() -> None:
    x = random_maps((2, 3, 8, 8))[0].float()
    first = 0.01 * torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(5))
    found = freekd_prompts([x], steps=1, lr=1e-3, seed=5, progress=False)

    def loss(prompts: Tensor) -> float:
        return sum(spread(prompts.double(), x.double()))

    # Adam's first step is the learning rate against each gradient's sign.
    for place in [(0, 0, 0), (1, 1, 2), (2, 0, 1), (3, 1, 0)]:
        step = torch.zeros(4, 2, 3, dtype=torch.float64)
        step[place] = 1e-4
        slope = loss(first + step) - loss(first - step)
        moved = (found - first)[place].item()
        assert moved == pytest.approx(-1e-3 * np.sign(slope), rel=0.01)


def test_a_seed_gives_the_same_prompts_and_moves_no_generator() -> None:
    maps = random_maps((2, 3, 8, 8), (1, 3, 8, 8))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same, other = (
        freekd_prompts(iter(maps), steps=4, seed=seed, progress=False) for seed in (3, 3, 4)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float32
    assert not one.requires_grad


@pytest.mark.parametrize("maps", [torch.zeros(2, 3, 8, 8), torch.randn(2, 3, 1, 1)])
@pytest.mark.parametrize("tokens", [1, 3])
def test_prompts_of_odd_maps_are_finite(maps: Tensor, tokens: int) -> None:
    with torch.inference_mode():
        seen = maps.clone()
    prompts = freekd_prompts([seen], num_tokens=tokens, steps=3, progress=False)
    assert prompts.isfinite().all()


def test_its_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="maps is empty"):
        freekd_prompts([])
    with pytest.raises(ValueError, match="num_tokens=0 must be at least 1"):
        freekd_prompts([torch.zeros(1, 2, 4, 4)], num_tokens=0)


def test_progress_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    freekd_prompts([torch.ones(1, 2, 4, 4)], steps=2)
    assert "Training prompts" in capsys.readouterr().err
