"""Batches that each hold the same number of labelled samples."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler


class LabelledShareSampler(DistributedSampler[Any]):
    """Sampler of batches that each hold the same number of labelled samples.

    An epoch goes once through the samples without a label; those with a label are drawn beside
    them over and over, each once before any comes again. All batches are full: where the unlabelled
    samples do not suffice for the last one, it is filled up from the epoch's first ones.

    Args:
        dataset: The training samples.
        num_replicas: Number of ranks.
        rank: Rank of this process.
        seed: Seed of the order.
        has_label: Whether each sample has a label.
        labelled: Labelled samples per batch.
        batch_size: Samples per batch on each rank.

    Shape:
        - has_label: [N] bool

    Raises:
        ValueError: If all samples have a label, or none.

    Example:
        >>> has_label = np.array([True, False, False, False, False])
        >>> sampler = LabelledShareSampler(range(5), 1, 0, 0, has_label, labelled=1, batch_size=3)
        >>> order = list(sampler)
        >>> len(order), order.count(0), sorted({*order})
        (6, 2, [0, 1, 2, 3, 4])
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        num_replicas: int,
        rank: int,
        seed: int,
        has_label: NDArray[np.bool_],
        labelled: int,
        batch_size: int,
    ) -> None:
        super().__init__(dataset, num_replicas, rank, shuffle=True, seed=seed)
        self.with_label, self.without_label = map(
            torch.from_numpy, (np.flatnonzero(has_label), np.flatnonzero(~has_label))
        )
        if not (len(self.with_label) and len(self.without_label)):
            count = len(self.with_label)
            raise ValueError(
                f"{count} of {len(has_label)} training samples have a label: batches with a share "
                "of labels need both kinds, so give neither all nor no labels"
            )
        self.labelled = labelled
        self.others = batch_size - labelled
        self.batches = -(-len(self.without_label) // (self.others * num_replicas))
        self.num_samples = self.batches * batch_size
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        """Iterate over the positions of this rank."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        blocks = self.batches * self.num_replicas
        drawn = [
            _cycled(group, blocks * size, generator).view(blocks, size)
            for group, size in ((self.with_label, self.labelled), (self.without_label, self.others))
        ]
        mine = torch.cat(drawn, 1)[self.rank :: self.num_replicas]
        return iter(mine.flatten().tolist())


def _cycled(group: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw without replacement, in a new order whenever all have been drawn."""
    orders = [
        torch.randperm(len(group), generator=generator) for _ in range(-(-count // len(group)))
    ]
    return group[torch.cat(orders)[:count]]
