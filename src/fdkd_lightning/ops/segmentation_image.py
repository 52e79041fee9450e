"""Class maps as colour images: a palette, overlays, errors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.types import IGNORE_INDEX

WRONG = (230, 30, 30)
"""Colour of a wrongly classified pixel."""


def class_palette(classes: int) -> Tensor:
    """Return one colour per class, those of PASCAL VOC without the black of its background.

    Args:
        classes: Number of classes K.

    Shape:
        - output: [K, 3] uint8

    Reference:
        The VOC development kit, ``VOClabelcolormap.m``: the bits of a class number, three at a
        time, are the high bits of red, green and blue.

    Example:
        >>> class_palette(3).tolist()
        [[128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    numbers = torch.arange(1, classes + 1)
    colors = torch.zeros(classes, 3, dtype=torch.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((numbers >> (3 * bit + channel)) & 1) << (7 - bit)
    return colors.to(torch.uint8)


def visible(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return an input of any number of channels as an RGB image, stretched to its own range.

    Args:
        image: The input. Of three or more channels the first three are shown, of two their mean.
        size: Height H' and width W' of the result; it takes the nearest pixels.

    Shape:
        - image: [C, H, W]
        - output: [3, H', W'] uint8; NaN and infinity are black

    Example:
        >>> visible(torch.tensor([[[-1.0, 0.0, 1.0]]]), (1, 3))[0]
        tensor([[  0, 127, 255]], dtype=torch.uint8)
    """
    image = F.interpolate(image[None].detach().float().cpu(), list(size))[0]
    image = image[:3] if len(image) > 2 else image.mean(0, keepdim=True).expand(3, -1, -1)
    finite = image.isfinite()
    if not finite.any():
        return torch.zeros(image.shape, dtype=torch.uint8)
    low, high = image[finite].min(), image[finite].max()
    scaled = (image - low) / (high - low).clamp_min(1e-12) * 255
    return scaled.where(finite, 0.0).to(torch.uint8)


def overlay(image: Tensor, classes: Tensor, palette: Tensor, alpha: float = 0.6) -> Tensor:
    """Blend the colours of a class map over an image; void pixels show the image.

    Args:
        image: RGB image.
        classes: Class of each pixel; -100 where there is none.
        palette: Colour of each class.
        alpha: Opacity of the colours.

    Shape:
        - image: [3, H, W] uint8
        - classes: [H, W] int64
        - palette: [K, 3] uint8
        - output: [3, H, W] uint8

    Example:
        >>> image = torch.zeros(3, 1, 2, dtype=torch.uint8)
        >>> overlay(image, torch.tensor([[0, -100]]), class_palette(1), alpha=0.5)[0]
        tensor([[64,  0]], dtype=torch.uint8)
    """
    known = classes != IGNORE_INDEX
    colors = palette[classes.where(known, 0)].permute(2, 0, 1).float()
    blended = alpha * colors + (1 - alpha) * image.float()
    return blended.to(torch.uint8).where(known, image)


def panels(image: Tensor, target: Tensor, predicted: Tensor, palette: Tensor) -> Tensor:
    """Return input, labels, prediction and errors of one sample, side by side.

    Args:
        image: The network's input.
        target: True class of each pixel; -100 where there is none.
        predicted: Predicted class of each pixel.
        palette: Colour of each class.

    Shape:
        - image: [C, H, W], resized to the size of the labels
        - target, predicted: [H, W] int64
        - palette: [K, 3] uint8
        - output: [3, H, 4 W] uint8

    Example:
        >>> image, target = torch.rand(1, 4, 4), torch.zeros(4, 4, dtype=torch.int64)
        >>> panels(image, target, target, class_palette(2)).shape
        torch.Size([3, 4, 16])
    """
    rgb, target, predicted = visible(image, target.shape), target.cpu(), predicted.cpu()
    wrong = (target != predicted) & (target != IGNORE_INDEX)
    red = torch.tensor(WRONG, dtype=torch.uint8)[:, None, None]
    errors = red.where(wrong, rgb)
    shown = [overlay(rgb, classes, palette) for classes in (target, predicted)]
    return torch.cat([rgb, *shown, errors], 2)
