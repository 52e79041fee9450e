"""Shuffle pairs within their class: what is left of an agreement comes from the class alone."""

import torch
from torch import Tensor


def shuffled_within(group: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a permutation of rows that keeps each row's class.

    Args:
        group: Class of each row.
        generator: Source of random numbers.

    Shape:
        - group, output: [N] int64

    Example:
        >>> label = torch.tensor([0, 1, 0, 1, 1])
        >>> order = shuffled_within(label, torch.Generator().manual_seed(0))
        >>> label[order].tolist(), sorted(order.tolist())
        ([0, 1, 0, 1, 1], [0, 1, 2, 3, 4])
    """
    drawn = torch.randperm(len(group), generator=generator)
    order = torch.empty_like(drawn)
    # The k-th row of a class in order gets the k-th of that class in the draw.
    order[group.argsort(stable=True)] = drawn[group[drawn].argsort(stable=True)]
    return order
