"""Vectors of the classes in each image: some pixels, and the mean over the region."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.losses.permutations import Permutations, given_permutation
from fdkd_lightning.ops.normalize import l2_normalize

PixelPositions = Literal["class", "published"]
"""Where the pixels of a class are taken from: its own pixels, or the first positions of the image,
as many as the class has pixels (the official code)."""


class ClassRows(NamedTuple):
    """Unit vectors of each class in each image.

    Args:
        pixels: Some pixels of the class.
        counts: How many there are, the first ones.
        regions: The mean over the pixels of the class.
        present: 1 where the image has the class, else 0.

    Shape:
        - pixels: [N, K, U, D]
        - counts: [N, K] int64
        - regions: [N, K, 1, D]
        - present: [N, K] int64
    """

    pixels: Tensor
    counts: Tensor
    regions: Tensor
    present: Tensor


def class_rows(
    features: Tensor,
    labels: Tensor,
    classes: int,
    count: int,
    positions: PixelPositions = "class",
    permutations: Permutations | None = None,
) -> ClassRows:
    """Choose pixels of each class at random, and average its region; -100 belongs to no class.

    Args:
        features: Maps of unit vectors.
        labels: Class of each pixel, -100 for none.
        classes: K.
        count: U, the largest number of pixels per class and image.
        positions: Where the pixels are taken from.
        permutations: The choice; None: drawn from torch's global generator.

    Shape:
        - features: [N, D, H, W]
        - labels: [N, H, W]

    Reference:
        winycg/CIRKD, losses/cirkd_memory.py (_dequeue_and_enqueue).

    Example:
        >>> features = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]]])
        >>> rows = class_rows(features, torch.tensor([[[0, 1, -100]]]), classes=3, count=1)
        >>> rows.counts.tolist(), rows.pixels[0, :2, 0].tolist()
        ([[1, 1, 0]], [[1.0, 0.0], [0.0, 1.0]])
    """
    pixels = features.flatten(2).mT
    is_class = labels.flatten(1)[:, None] == torch.arange(classes, device=labels.device)[:, None]
    sizes = is_class.sum(2)
    place = torch.arange(pixels.shape[1], device=labels.device)
    candidates = place < sizes[..., None] if positions == "published" else is_class
    if permutations is None:
        chosen = _drawn(candidates, count)
    else:
        chosen = _given(candidates, count, permutations)
    with torch.autocast(features.device.type, enabled=False):
        totals = is_class.to(pixels.dtype) @ pixels
    image = torch.arange(len(pixels), device=labels.device).view(-1, 1, 1)
    return ClassRows(
        l2_normalize(pixels[image, chosen], dim=3),
        sizes.clamp_max(chosen.shape[2]),
        l2_normalize(totals / sizes.clamp_min(1)[..., None], dim=2)[:, :, None],
        sizes.clamp_max(1),
    )


def _drawn(candidates: Tensor, count: int) -> Tensor:
    """Random candidates first: [N, K, L] -> [N, K, U]."""
    n, _, length = candidates.shape
    # One draw for all classes, whose pixels differ. float64: float32 would draw many ties.
    keys = torch.rand(n, 1, length, dtype=torch.float64, device=candidates.device)
    return torch.where(candidates, keys, -1.0).topk(min(count, length), dim=2).indices


def _given(candidates: Tensor, count: int, permutations: Permutations) -> Tensor:
    n, classes, length = candidates.shape
    chosen = torch.zeros(n, classes, min(count, length), dtype=torch.long, device=candidates.device)
    for i in range(n):
        for k in range(classes):
            (places,) = candidates[i, k].nonzero(as_tuple=True)
            if len(places):
                order = given_permutation(permutations, len(places), places.device)
                first = places[order[: chosen.shape[2]]]
                chosen[i, k, : len(first)] = first
    return chosen
