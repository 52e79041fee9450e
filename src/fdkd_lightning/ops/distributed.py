"""The rows that all processes have, in one tensor."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def row_counts(x: Tensor) -> list[int]:
    """How many rows each process has, in the order of the ranks.

    Example:
        >>> row_counts(torch.zeros(3, 8))
        [3]
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [len(x)]
    counts = [torch.tensor(0, device=x.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor(len(x), device=x.device))
    return [int(count) for count in counts]


def gather_rows(x: Tensor, counts: Sequence[int] | None = None) -> Tensor:
    """The rows of all processes in the order of their ranks; they may differ in number.

    A process's own rows keep their gradient, times the number of processes; those of the others
    have none. So where all processes compute the same value from the result, the gradient averaged
    over them, which DDP takes, is that of one process with all rows.

    Args:
        x: This process's rows.
        counts: What :func:`row_counts` gives, where it is known; None: asked for.

    Shape:
        - x: [N, ...], with its own N in each process
        - output: [sum of N, ...]

    Example:
        >>> rows = torch.eye(2)
        >>> gather_rows(rows) is rows
        True
    """
    counts = row_counts(x) if counts is None else counts
    if len(counts) == 1:
        return x
    padded = x.new_zeros((max(counts), *x.shape[1:]))
    padded[: len(x)] = x.detach()
    found = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(found, padded)
    parts = [part[:count] for part, count in zip(found, counts, strict=True)]
    if x.requires_grad:
        # The average over the processes would otherwise hold each row's gradient once where the
        # mean needs it whole: theirs have it in the other processes.
        own = x.view_as(x)
        scale = len(counts)
        own.register_hook(lambda gradient: scale * gradient)  # type: ignore[no-untyped-call]  # torch's
        parts[dist.get_rank()] = own
    return torch.cat(parts)
