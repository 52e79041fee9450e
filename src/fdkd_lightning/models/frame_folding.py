"""Clips of frames, for networks that see one picture at a time."""

from typing import Literal, get_args

from torch import Tensor

Frames = Literal["average", "stack"]
"""A network runs each frame, and averages; or all at once, as so many more channels."""


def check_frames(frames: Frames) -> None:
    """Raise if it is neither way."""
    if frames not in get_args(Frames):
        raise ValueError(f"frames={frames!r} must be one of {', '.join(get_args(Frames))}")


def fold_frames(x: Tensor, frames: Frames, in_chans: int) -> tuple[Tensor, int]:
    """Pictures that a network can take, and how many of them make one sample.

    Shape:
        - x: [N, C, H, W] or [N, T, C, H, W]
        - output: [N, C, H, W], 1 of pictures; [N * T, C, H, W], T with ``"average"``;
          [N, T * C, H, W], 1 with ``"stack"``

    Raises:
        ValueError: If x has another shape, or its channels are not ``in_chans``.
    """
    if x.ndim not in (4, 5):
        raise ValueError(
            f"x has shape {list(x.shape)}: give [N, C, H, W], or [N, T, C, H, W] for frames"
        )
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
                f"x holds T={clip[0]} frames of C={clip[1]} channels, and frames={frames!r} makes "
                f"{x.shape[1]} channels of them, but in_chans={in_chans}: set "
                f"in_chans={x.shape[1]}, or {other}, or let the data load another number of frames"
            )
    elif x.shape[1] != in_chans:
        raise ValueError(
            f"x has C={x.shape[1]} channels, but in_chans={in_chans}: set in_chans={x.shape[1]}"
        )
    return x, parts


def average_frames(x: Tensor, parts: int) -> Tensor:
    """The mean of the frames that make one sample.

    Shape:
        - x: [N * parts, ...]
        - output: [N, ...]
    """
    return x if parts == 1 else x.reshape(-1, parts, *x.shape[1:]).mean(1)
