"""How many queries find their own pair."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

ROUNDING = 1e-6
"""Cosines of float32 vectors that differ by less are a tie."""

ROWS = 1024
"""Queries that are compared at once: all would take N * N numbers."""


def recall_at_k(query: Tensor, gallery: Tensor, k: int = 1) -> Tensor:
    r"""Share of the queries whose own pair is among the k nearest of the gallery, by cosine.

    .. math::
        \frac{1}{N} \sum_i \big[\, |\{j \ne i : \cos(q_i, g_j) \ge \cos(q_i, g_i)\}| < k \,\big]

    A tie counts against the query, so that embeddings which are all the same (or not finite) find
    nothing. Chance is k/N: values of galleries of different sizes do not compare.

    Args:
        query: Embeddings.
        gallery: Embeddings among which the i-th belongs to the i-th query.
        k: How many of the nearest are looked at, at least 1.

    Shape:
        - query, gallery: [N, D]
        - output: scalar, from 0 to 1

    Raises:
        ValueError: If k is below 1, there is no query, or the shapes differ or are not [N, D].

    Example:
        >>> gallery = torch.eye(4)
        >>> recall_at_k(gallery[[0, 1, 3, 2]], gallery)
        tensor(0.5000)
    """
    _check(query, gallery, k)
    if not len(query):
        raise ValueError("there is no query: recall is a share of them, give at least one")
    query, gallery = F.normalize(query.float()), F.normalize(gallery.float())
    found = torch.zeros((), device=query.device)
    with torch.autocast(query.device.type, enabled=False):
        for rows, own in zip(*(torch.split(x, ROWS) for x in (query, gallery)), strict=True):
            bar = (rows * own).sum(1, keepdim=True) - ROUNDING
            # Its own is among those not below; nan is below nothing.
            found += ((~(rows @ gallery.T < bar)).sum(1) <= k).sum()
    return found / len(query)


def _check(query: Tensor, gallery: Tensor, k: int) -> None:
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    if query.ndim != 2 or query.shape != gallery.shape:
        raise ValueError(
            f"query has shape {list(query.shape)}, gallery {list(gallery.shape)}: give one "
            "embedding [N, D] of each pair's two sides, in the same order"
        )


class RecallAtK(Metric):
    """:func:`recall_at_k` over all pairs that were seen, in whatever batches and processes.

    The gallery is the whole of them: that of a batch alone would be easier the smaller the batch.
    (``torchmetrics.retrieval.RetrievalRecall`` takes the rows of a similarity matrix, so that the
    gallery would have to be at hand before the first update, and breaks ties by chance.) A sampler
    that repeats samples to fill an epoch repeats them in the gallery, as ties: evaluate in one
    process where numbers are published.

    Args:
        k: How many of the nearest are looked at, at least 1.

    Shape:
        - query, gallery: [N, D], the i-th of each a pair

    Raises:
        ValueError: If k is below 1, or the shapes differ or are not [N, D].

    Example:
        >>> metric = RecallAtK(k=1)
        >>> metric.update(torch.eye(4)[:2], torch.eye(4)[:2])
        >>> metric.update(torch.eye(4)[2:], torch.eye(4)[[0, 3]])
        >>> metric.compute()
        tensor(0.5000)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    query: list[Tensor]
    gallery: list[Tensor]

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k={k} must be at least 1")
        self.k = k
        self.add_state("query", [], dist_reduce_fx="cat")
        self.add_state("gallery", [], dist_reduce_fx="cat")

    def update(self, query: Tensor, gallery: Tensor) -> None:
        """Add pairs."""
        _check(query, gallery, self.k)
        self.query.append(query.detach())
        self.gallery.append(gallery.detach())

    def compute(self) -> Tensor:
        """The share."""
        return recall_at_k(dim_zero_cat(self.query), dim_zero_cat(self.gallery), self.k)
