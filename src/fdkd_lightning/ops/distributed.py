"""Collectives over the ranks of a distributed run; no-ops in a single process."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum a tensor over all ranks, without gradient."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


def mean_over_ranks(total: Tensor, count: Tensor) -> Tensor:
    r"""Return this rank's share of a mean over the elements of all ranks.

    .. math:: s_r = R \, t_r \, / \, \max(1, \textstyle\sum_r c_r)

    The average of the shares over the R ranks, which DDP takes of their gradients, is that mean.

    Args:
        total: Sum over this rank's elements.
        count: Number of this rank's elements, as a float; without elements on any rank the mean
            is 0.

    Shape:
        - total, count, output: scalars

    Example:
        >>> mean_over_ranks(torch.tensor(6.0), torch.tensor(4.0))
        tensor(1.5000)
    """
    count = sum_over_ranks(count).clamp_min(1)
    return total / count if world_size() == 1 else total * world_size() / count


def gather_objects(x: Any) -> list[Any]:
    """Gather a picklable object from every rank, in the order of the ranks."""
    if world_size() == 1:
        return [x]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, x)
    return gathered


def row_counts(x: Tensor) -> list[int]:
    """Return the number of rows on each rank, in the order of the ranks.

    Shape:
        - x: [N, ...], N may differ between ranks
        - output: one integer per rank
    """
    if world_size() == 1:
        return [len(x)]
    return [int(n) for n in gather_all_tensors(torch.tensor(len(x), device=x.device))]


def gather_rows(x: Tensor) -> Tensor:
    """Gather variable-length rows across ranks, in the order of the ranks.

    The rows of this rank keep their gradient, multiplied by the number of ranks; the rows of other
    ranks have none. Where all ranks compute the same value from the result, the gradient averaged
    over ranks (as DDP does) is therefore that of a single process with all rows.

    Shape:
        - x: [N, ...], N may differ between ranks
        - output: [sum of N over ranks, ...]
    """
    if world_size() == 1:
        return x
    parts = gather_all_tensors(x.detach().contiguous())
    if x.requires_grad:
        # Averaging over ranks would otherwise count each row's gradient 1/R times: the other ranks
        # hold this row without gradient.
        rows = x.view_as(x)
        scale = world_size()
        rows.register_hook(lambda gradient: scale * gradient)  # type: ignore[no-untyped-call]  # torch does not annotate it
        parts[dist.get_rank()] = rows
    return torch.cat(parts)


def from_first_rank(x: Tensor) -> Tensor:
    """Return the first rank's tensor on every rank, without gradient.

    Args:
        x: This rank's tensor.

    Shape:
        - x, output: any shape, the same on every rank

    Example:
        >>> from_first_rank(torch.tensor([2, 0, 1]))
        tensor([2, 0, 1])
    """
    if world_size() == 1:
        return x
    x = x.detach().clone(memory_format=torch.contiguous_format)
    dist.broadcast(x, src=0)
    return x
