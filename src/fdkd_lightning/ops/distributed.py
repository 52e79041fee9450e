"""Collectives over the ranks of a distributed run; no-ops in a single process."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from fdkd_lightning.types import IGNORE_INDEX


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

    .. math:: s_r = R \, t_r \, / \, \textstyle\sum_r c_r

    The average of the shares over the R ranks, which DDP takes of their gradients, is that mean.

    Args:
        total: Sum over this rank's elements.
        count: Number of this rank's elements, or the sum of their weights, as a float; if it is 0
            on all ranks, the mean is the total, 0.

    Shape:
        - total, count, output: scalars

    Example:
        >>> mean_over_ranks(torch.tensor(6.0), torch.tensor(4.0))
        tensor(1.5000)
    """
    # Not a clamp: a sum of weights may be below 1.
    if world_size() == 1:
        return total / count.masked_fill(count == 0, 1)
    everywhere = sum_over_ranks(count)
    return total * world_size() / everywhere.masked_fill(everywhere == 0, 1)


def share_of_label(target: Tensor, dtype: torch.dtype) -> Tensor:
    r"""Return what :func:`mean_over_ranks` multiplies this rank's sum over labelled samples by.

    .. math:: R \, / \, \textstyle\sum_r c_r

    Args:
        target: Labels of this rank, -100 where there is none.
        dtype: The result's.

    Shape:
        - target: any
        - output: scalar, R where no rank has a label

    Example:
        >>> share_of_label(torch.tensor([3, -100, 1]), torch.float32)
        tensor(0.5000)
    """
    count = sum_over_ranks((target != IGNORE_INDEX).sum(dtype=dtype))
    share = count.clamp_min(1).reciprocal()
    return share if world_size() == 1 else share * world_size()


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

    Raises:
        ValueError: If the rows have different shapes on the ranks.
    """
    if world_size() == 1:
        return x
    parts = gather_all_tensors(x.detach().contiguous())
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise ValueError(
            f"the ranks have rows of shapes {shapes}: let the data give all samples one size"
        )
    if x.requires_grad:
        # Averaging over ranks would otherwise count each row's gradient 1/R times: the other ranks
        # hold this row without gradient.
        rows = x.view_as(x)
        scale = world_size()
        rows.register_hook(lambda gradient: scale * gradient)  # type: ignore[no-untyped-call]  # torch does not annotate it
        parts[dist.get_rank()] = rows
    return torch.cat(parts)


def gather_distinct_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Gather rows of several tensors across ranks, unless all ranks hold the same rows already.

    Where samples lack a modality, a pair is gathered before the criterion sees it: gathered again,
    each sample would count once a rank. Whether rows are the same is read on the host.

    Args:
        tensors: Of the same samples.

    Shape:
        - tensors: [N, ...] each, N may differ between ranks
        - output: [sum of N over ranks, ...] each, or as they are

    Raises:
        ValueError: If the rows have different shapes on the ranks.

    Example:
        >>> gather_distinct_rows(torch.ones(2), torch.zeros(2, 1))
        (tensor([1., 1.]), tensor([[0.],
                [0.]]))
    """
    if world_size() == 1:
        return tensors
    gathered = tuple(gather_rows(x) for x in tensors)
    counts = {*row_counts(tensors[0])}
    if len(counts) == 1 and all(_repeats(rows, world_size()) for rows in gathered):
        return tensors
    return gathered


def _repeats(rows: Tensor, times: int) -> bool:
    parts = rows.detach().reshape(times, -1)
    return bool((parts == parts[0]).all())


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
