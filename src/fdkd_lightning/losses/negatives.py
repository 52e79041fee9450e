"""Which samples CRD contrasts a sample with."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.tensor_checks import check_labels


class NegativeSampler(ABC):
    """Base class of choices of the negatives of :class:`CRDLoss`, by positions in the data set.

    Example:
        >>> class Next(NegativeSampler):
        ...     def __call__(self, index, count):
        ...         return index[:, None] + 1 + torch.arange(count)
        >>> Next()(torch.tensor([0, 5]), 2).tolist()
        [[1, 2], [6, 7]]
    """

    @abstractmethod
    def __call__(self, index: Tensor, count: int) -> Tensor:
        """Choose negatives.

        Args:
            index: Positions of the samples in the data set.
            count: K, the number of negatives per sample.

        Shape:
            - index: [N] int64
            - output: [N, K] int64, on the device of ``index``
        """


class PublishedNegatives(NegativeSampler):
    """The published choice: K samples of other classes of the whole data set, without replacement.

    A class with fewer than K samples in other classes gets them with replacement. They are drawn
    from torch's global generator on the CPU.

    Args:
        labels: Class of each sample of the training set, in its order.

    Raises:
        TypeError: If a label is no whole number.
        ValueError: If a label is negative, all are the same, or an index is beyond them.

    Reference:
        HobbitLong/RepDistiller, dataset/cifar100.py (``CIFAR100InstanceSample``, mode "exact").

    Example:
        >>> sampler = PublishedNegatives([0, 0, 1, 1])
        >>> sampler(torch.tensor([0, 3]), 2).sort(1).values.tolist()
        [[2, 3], [0, 1]]
    """

    def __init__(self, labels: Sequence[int]) -> None:
        for label in labels:
            check_count("labels", label, 0)
        classes = torch.as_tensor(labels, dtype=torch.int64)
        names = {*classes.tolist()}
        if len(names) < 2:
            raise ValueError(
                f"labels holds {len(labels)} samples of {len(names)} classes: negatives are of "
                "other classes, so give at least two"
            )
        self.labels = classes
        self.others = {c: (classes != c).nonzero().flatten() for c in names}

    def __call__(self, index: Tensor, count: int) -> Tensor:
        """Draw the negatives."""
        check_count("count", count)
        check_labels("index", index, index.shape[:1], "[N]")
        rows = []
        for i in index.tolist():
            if not 0 <= i < len(self.labels):
                raise ValueError(
                    f"index holds {i}, but labels has {len(self.labels)} samples: give the class "
                    "of each sample of the training set"
                )
            others = self.others[int(self.labels[i])]
            if count > len(others):
                chosen = torch.randint(len(others), (count,))
            else:
                chosen = torch.randperm(len(others))[:count]
            rows.append(others[chosen])
        negatives = torch.stack(rows) if rows else index.new_empty(0, count)
        return negatives.to(index.device)


def pick_candidates(candidates: Tensor, numbers: Tensor) -> Tensor:
    """Return the positions of a row's candidates with these numbers, modulo how many there are.

    Args:
        candidates: Which positions of each row are candidates, at least one.
        numbers: Numbers from 0.

    Shape:
        - candidates: [N, M] bool
        - numbers, output: [N, K] int64

    Example:
        >>> candidates = torch.tensor([[False, True, False, True]])
        >>> pick_candidates(candidates, torch.tensor([[0, 1, 2]]))
        tensor([[1, 3, 1]])
    """
    ranks = candidates.cumsum(1)
    # Each row's candidates in order, from place 1; place 0 collects the other positions.
    table = ranks.new_empty(len(ranks), ranks.shape[1] + 1)
    positions = torch.arange(ranks.shape[1], device=ranks.device).expand_as(ranks)
    table.scatter_(1, ranks * candidates, positions)
    return table.gather(1, numbers % ranks[:, -1:] + 1)
