"""Frames of a clip, folded into the batch or the channels of an image network's input."""

from typing import Literal

from torch import Tensor

Frames = Literal["average", "stack"]
"""Run each frame and average the outputs, or concatenate the frames' channels."""


def fold_frames(x: Tensor, frames: Frames, in_chans: int) -> tuple[Tensor, int]:
    """Return images that a network can take, and the number of images per sample.

    Args:
        x: Images, or clips of T frames.
        frames: ``"average"`` folds the frames into the batch, ``"stack"`` into the channels.
        in_chans: Channels that the network takes.

    Shape:
        - x: [N, C, H, W] or [N, T, C, H, W]
        - output: images: [N, C, H, W] and 1; ``"average"``: [N * T, C, H, W] and T; ``"stack"``:
          [N, T * C, H, W] and 1
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x is of type {type(x).__name__}: give a tensor [N, C, H, W]")
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}: give floating-point values, as x.float() / 255")
    if x.ndim not in (4, 5):
        raise ValueError(
            f"x has shape {list(x.shape)}: give [N, C, H, W], or [N, T, C, H, W] for frames"
        )
    if not x.shape[-3]:
        raise ValueError(f"x has shape {list(x.shape)}, without a channel: give {in_chans}")
    parts = 1
    if x.ndim == 5:
        clip, total = x.shape[1:3], x.shape[1] * x.shape[2]
        if frames == "stack":
            x = x.flatten(1, 2)
        else:
            parts = x.shape[1]
            x = x.flatten(0, 1)
        if x.shape[1] != in_chans:
            other = (
                f"in_chans={total} with frames='stack'"
                if frames == "average"
                else f"in_chans={clip[1]} with frames='average'"
            )
            raise ValueError(
                f"x holds T={clip[0]} frames of C={clip[1]} channels, {x.shape[1]} channels with "
                f"frames={frames!r}, but in_chans={in_chans}: set in_chans={x.shape[1]}, or "
                f"{other}, or let the data load another number of frames"
            )
    elif x.shape[1] != in_chans:
        raise ValueError(
            f"x has C={x.shape[1]} channels, but in_chans={in_chans}: set in_chans={x.shape[1]}"
        )
    return x, parts


def average_frames(x: Tensor, parts: int) -> Tensor:
    """Average over the frames of each sample.

    Shape:
        - x: [N * parts, ...]
        - output: [N, ...]
    """
    return x if parts == 1 else x.reshape(-1, parts, *x.shape[1:]).mean(1)
