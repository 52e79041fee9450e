"""Orders of training samples: stratified, class-balanced, and by epoch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.types import IGNORE_INDEX


def stratified_order(label: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return positions in a random order whose every prefix is balanced over the classes.

    Within a prefix the numbers of samples of any two classes differ by at most 1, while both have
    samples left.

    Shape:
        - label, output: [N]

    Example:
        >>> label = np.array([0, 0, 0, 1, 1, 1])
        >>> sorted(label[stratified_order(label, seed=0)[:4]].tolist())
        [0, 0, 1, 1]
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(label))
    # Number of samples of the same class before a position.
    rank = np.zeros(len(label), np.int64)
    for k in np.unique(label):
        rank[label[order] == k] = np.arange((label == k).sum())
    return order[np.argsort(rank, kind="stable")]


def balanced_weights(label: NDArray[np.int64]) -> Tensor:
    """Return sampling weights that make all classes that occur equally frequent.

    The total weight of the unlabelled samples stays their number.

    Shape:
        - label: [N]
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
    """Sampler of pairs (epoch, position).

    The epoch determines the training view of a sample. Passing it with the position gives equal
    views in the main process, in workers that persist over all epochs, and in a resumed run.

    With ``weights`` samples are drawn with replacement, without them each once.

    Shape:
        - weights: [N]

    Example:
        >>> sampler = EpochSampler([5, 6, 7], num_replicas=1, rank=0, seed=0)
        >>> sampler.set_epoch(4)
        >>> sorted(sampler)
        [(4, 0), (4, 1), (4, 2)]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        num_replicas: int,
        rank: int,
        seed: int,
        weights: Tensor | None = None,
    ) -> None:
        super().__init__(dataset, num_replicas, rank, shuffle=True, seed=seed)
        self.weights = weights

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the pairs of this rank."""
        if self.weights is None:
            positions = list(super().__iter__())
        else:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            drawn = torch.multinomial(
                self.weights, self.total_size, replacement=True, generator=generator
            )
            positions = drawn[self.rank :: self.num_replicas].tolist()
        return ((self.epoch, position) for position in positions)
