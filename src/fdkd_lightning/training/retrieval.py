"""Recall at k: the share of queries whose pair is among the k nearest."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.tensor_checks import check_tensor

ROUNDING = 1e-6
"""Cosines of float32 vectors that differ by less than this count as equal."""

ROWS = 1024
"""Number of queries compared at once; all at once would need N * N numbers."""


def recall_at_k(query: Tensor, gallery: Tensor, k: int = 1) -> Tensor:
    r"""Share of the queries whose pair is among the k nearest of the gallery, by cosine.

    .. math::
        \frac{1}{N} \sum_i \big[\, |\{j \ne i : \cos(q_i, g_j) \ge \cos(q_i, g_i)\}| < k \,\big]

    A tie counts against the query, so that constant or non-finite embeddings have recall 0. Chance
    is k/N: values of galleries of different sizes are not comparable.

    Args:
        query: Embeddings of the queries.
        gallery: Embeddings of the gallery; the i-th is the pair of the i-th query.
        k: Number of nearest neighbours, at least 1.

    Shape:
        - query, gallery: [N, D]
        - output: scalar from 0 to 1

    Raises:
        TypeError: If k is no whole number, or an argument no tensor.
        ValueError: If k is below 1, there is no query, the shapes differ or are not [N, D], or the
            embeddings are not floating-point.

    Example:
        >>> gallery = torch.eye(4)
        >>> recall_at_k(gallery[[0, 1, 3, 2]], gallery)
        tensor(0.5000)
    """
    _check(query, gallery, k)
    if not len(query):
        raise ValueError("query has no rows: recall is undefined, give at least one query")
    query, gallery = F.normalize(query.float()), F.normalize(gallery.float())
    found = torch.zeros((), device=query.device)
    with torch.autocast(query.device.type, enabled=False):
        for rows, pairs in zip(*(torch.split(x, ROWS) for x in (query, gallery)), strict=True):
            similarity = (rows * pairs).sum(1, keepdim=True) - ROUNDING
            # Counted are all that are not less similar: the pair itself, ties and NaN.
            found += ((~(rows @ gallery.T < similarity)).sum(1) <= k).sum()
    return found / len(query)


def _check(query: Tensor, gallery: Tensor, k: int) -> None:
    check_count("k", k)
    check_tensor("query", query, "[N, D]", 2)
    check_tensor("gallery", gallery, "[N, D]", 2)
    if query.shape != gallery.shape:
        raise ValueError(
            f"query has shape {list(query.shape)}, gallery {list(gallery.shape)}: give two "
            "tensors [N, D] with the pairs in the same order"
        )


class RecallAtK(Metric):
    """:func:`recall_at_k` over the pairs of all batches and ranks.

    The gallery is the whole data set: the smaller the gallery, the easier the task.
    (``torchmetrics.retrieval.RetrievalRecall`` takes rows of a similarity matrix: it needs the
    whole gallery before the first update, and breaks ties by chance.) A distributed sampler repeats
    samples to fill the last batches, and each repetition is a tie in the gallery: use one rank for
    numbers to publish.

    Args:
        k: Number of nearest neighbours, at least 1.

    Shape:
        - query, gallery: [N, D]; the i-th rows are a pair
        - output: scalar from 0 to 1

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
        check_count("k", k)
        self.k = k
        self.add_state("query", [], dist_reduce_fx="cat")
        self.add_state("gallery", [], dist_reduce_fx="cat")

    def update(self, query: Tensor, gallery: Tensor) -> None:
        """Add the pairs of a batch."""
        _check(query, gallery, self.k)
        self.query.append(query.detach())
        self.gallery.append(gallery.detach())

    def compute(self) -> Tensor:
        """Return the recall over all pairs."""
        return recall_at_k(dim_zero_cat(self.query), dim_zero_cat(self.gallery), self.k)
