"""Orders of samples."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.types import IGNORE_INDEX


def stratified_order(label: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Positions in a random order of which each beginning holds all classes alike, within 1.

    Example:
        >>> label = np.array([0, 0, 0, 1, 1, 1])
        >>> sorted(label[stratified_order(label, seed=0)[:4]].tolist())
        [0, 0, 1, 1]
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(label))
    # How many of its class come before a position.
    rank = np.zeros(len(label), np.int64)
    for k in np.unique(label):
        rank[label[order] == k] = np.arange((label == k).sum())
    return order[np.argsort(rank, kind="stable")]


def balanced_weights(label: NDArray[np.int64]) -> Tensor:
    """Weights that make the classes that occur equally frequent, and keep the unlabelled share.

    Shape:
        - label: [N], -100 where there is no label
        - output: [N] float64, 1 on average

    Example:
        >>> balanced_weights(np.array([0, 0, 0, 1, -100])).tolist()
        [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0, 1.0]
    """
    weights = np.ones(len(label))
    has_label = label != IGNORE_INDEX
    classes, position, count = np.unique(label[has_label], return_inverse=True, return_counts=True)
    if len(classes):
        weights[has_label] = (has_label.sum() / (len(classes) * count))[position]
    return torch.from_numpy(weights)


class EpochSampler(DistributedSampler[Any]):
    """The order of an epoch, as pairs (epoch, position).

    With the epoch the data set knows what to draw for a sample: the same in the trainer's process,
    in workers that live through all epochs, and in a resumed run.

    Args:
        dataset: The samples.
        processes: Over how many processes an epoch is shared.
        rank: This process.
        seed: Draws the order, with the epoch.
        weights: [N], draw with replacement in proportion to these; None: each sample once.

    Example:
        >>> sampler = EpochSampler([5, 6, 7], processes=1, rank=0, seed=0)
        >>> sampler.set_epoch(4)
        >>> sorted(sampler)
        [(4, 0), (4, 1), (4, 2)]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        processes: int,
        rank: int,
        seed: int,
        weights: Tensor | None = None,
    ) -> None:
        super().__init__(dataset, processes, rank, shuffle=True, seed=seed)
        self.weights = weights

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The pairs of this process."""
        if self.weights is None:
            positions = list(super().__iter__())
        else:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            drawn = torch.multinomial(
                self.weights, self.total_size, replacement=True, generator=generator
            )
            positions = drawn[self.rank :: self.num_replicas].tolist()
        return ((self.epoch, position) for position in positions)
