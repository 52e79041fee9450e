"""Prompts of FreeKD, trained on a teacher's maps before a student is."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import trange

from fdkd_lightning.ops.checks import check_count, check_flags, check_range
from fdkd_lightning.ops.haar_transform import haar_dwt, haar_idwt
from fdkd_lightning.ops.tensor_checks import check_tensor


def freekd_prompts(
    maps: Iterable[Tensor],
    num_tokens: int = 2,
    levels: int = 3,
    steps: int = 2000,
    lr: float = 0.01,
    diversity: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> Tensor:
    r"""Train the prompts of :class:`FreeKDLoss` on a teacher's maps, before training a student.

    .. math::
        L = \frac{\lVert \hat x - x \rVert^2}{\lVert x \rVert^2}
        + \lambda \sum_{j=0}^{J} \frac{1}{N T (T - 1)} \sum_n \sum_{t \neq u}
        \frac{2 \langle m_{jt}, m_{ju} \rangle}{\lVert m_{jt} \rVert^2 + \lVert m_{ju} \rVert^2},
        \quad \hat x = \mathrm{IDWT}\Big(\frac2T \sum_t m_{jt} \, B_j\Big)

    The second part, the Dice coefficients between masks of different tokens, is the published one;
    it makes the tokens differ. The first part replaces the loss of the teacher's detector on the
    masked maps, with which the published prompts are trained and which only a detector has. (The
    published code adds up the masks. With the factor 2/T they reconstruct the map at their initial
    value of 1/2, for every T.) The prompts of this function therefore differ from the published
    ones: they describe what reconstructs a map, not what a detector needs.

    Args:
        maps: Batches of one stage's maps, such as ``[teacher(x).maps[-1] for x in loader]``; all
            of them are kept in memory.
        num_tokens: T, the number of tokens; 2 is the default of the published code, whose
            configurations set 6.
        levels: J, the number of levels, the same as for the loss.
        steps: Steps of Adam, one batch each; 2000 according to a file name in the published
            configurations.
        lr: Learning rate of Adam.
        diversity: Weight lambda of the Dice coefficients.
        seed: Seed of the initial prompts, which are normal with standard deviation 0.01.
        progress: Show a progress bar.

    Returns:
        The prompts of the low band, which the loss does not use, then those of each level's
        details.

    Shape:
        - maps: [N, C, H, W] each
        - output: [J + 1, T, C]

    Raises:
        TypeError: If an argument has another type.
        ValueError: If there are no maps, a map is not finite, not floating-point [N, C, H, W] or
            has other channels than the first, or an argument is out of range.

    Reference:
        FreeKD (arXiv 2311.12079); Gumpest/FreeKD, mmrazor/models/losses/freekd.py
        (``MaskModule``).

    Example:
        >>> freekd_prompts([torch.randn(2, 4, 8, 8)], steps=3, progress=False).shape
        torch.Size([4, 2, 4])
    """
    batches = list(maps)
    if not batches:
        raise ValueError("maps is empty: give at least one batch of a teacher's maps")
    check_count("num_tokens", num_tokens, example=2)
    check_count("levels", levels, example=3)
    check_count("steps", steps, example=2000)
    check_range("lr", lr, above=0, example=0.01)
    check_range("diversity", diversity, 0, example=1)
    check_count("seed", seed, 0)
    check_flags(progress=progress)
    for i, x in enumerate(batches):
        check_tensor(f"maps[{i}]", x, "[N, C, H, W]", 4)
        if x.shape[1] != batches[0].shape[1] or not x.numel() or not x.isfinite().all():
            raise ValueError(
                f"maps[{i}] of shape {list(x.shape)} must hold finite values of the "
                f"{batches[0].shape[1]} channels of maps[0]: leave it out, or check the teacher"
            )
    shape = (levels + 1, num_tokens, batches[0].shape[1])
    start = 0.01 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    prompts = start.to(batches[0].device).requires_grad_()
    optimizer = torch.optim.Adam([prompts], lr)
    for step in trange(steps, desc="Training prompts", disable=not progress):
        # A copy: tensors made in inference mode cannot be part of a graph.
        x = batches[step % len(batches)].detach().to(prompts.dtype, copy=True)
        low, details = haar_dwt(x, levels)
        masks = [
            prompt_masks(p, band)
            for p, band in zip(prompts, [low[:, :, None], *details], strict=True)
        ]
        weights = [2 * mask.mean(1, keepdim=True) for mask in masks]
        kept = [
            detail * weight.unsqueeze(2)
            for detail, weight in zip(details, weights[1:], strict=True)
        ]
        error = F.mse_loss(haar_idwt(low * weights[0], kept, x.shape[2:]), x)
        dice = torch.stack([_dice(mask) for mask in masks]).sum()
        loss = error / x.square().mean().clamp_min(torch.finfo(x.dtype).tiny) + diversity * dice
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return prompts.detach()


def prompt_masks(prompts: Tensor, band: Tensor) -> Tensor:
    """Compute the masks of prompts on a band of wavelet details.

    Shape:
        - prompts: [T, C]
        - band: [N, C, 3, H, W]
        - output: [N, T, H, W], from 0 to 1
    """
    return torch.einsum("tc,nchw->nthw", prompts, band.sum(2)).sigmoid()


def _dice(masks: Tensor) -> Tensor:
    """Mean Dice coefficient between masks [N, T, H, W] of different tokens."""
    flat = masks.flatten(2)
    products = flat @ flat.mT
    squares = products.diagonal(dim1=1, dim2=2)
    overlap = 2 * products / (squares[:, :, None] + squares[:, None] + 2e-12)
    n, tokens = masks.shape[:2]
    different = 1 - torch.eye(tokens, dtype=masks.dtype, device=masks.device)
    return (overlap * different).sum() / max(1, n * tokens * (tokens - 1))
