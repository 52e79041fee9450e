"""Queues of unit vectors, one per class, of a fixed size."""

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.permutations import Permutations, given_permutation
from fdkd_lightning.ops.distributed import gather_rows
from fdkd_lightning.ops.normalize import l2_normalize


class FeatureQueues(nn.Module):
    """Queues of vectors, one per group, each of a fixed size and part of the checkpoint.

    They start with random directions, as in the official code of CIRKD, and so are never empty.
    Vectors are added several at a time. Where they would reach the end of a queue, they become its
    last elements, and the next ones its first: the official order.

    Under DDP every rank adds the vectors of all ranks, in the order of the ranks. If one of them is
    not finite, none is added: it would stay for good.

    Args:
        groups: Number of queues.
        size: Vectors per queue.
        dim: Size of a vector.

    Reference:
        winycg/CIRKD, losses/cirkd_memory.py and losses/cirkd_channel.py (_dequeue_and_enqueue).

    Example:
        >>> queues = FeatureQueues(groups=2, size=4, dim=3)
        >>> queues.enqueue(torch.ones(1, 2, 1, 3), torch.tensor([[1, 0]]))
        >>> queues.pointer.tolist(), queues.rows[0, 0].tolist()
        ([1, 0], [1.0, 1.0, 1.0])
    """

    rows: Tensor
    pointer: Tensor

    def __init__(self, groups: int, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", l2_normalize(torch.randn(groups, size, dim), dim=2))
        self.register_buffer("pointer", torch.zeros(groups, dtype=torch.long))

    def enqueue(self, rows: Tensor, counts: Tensor) -> None:
        """Add the vectors of all ranks to the queues, one batch after the other.

        Args:
            rows: This rank's batches of up to U vectors for each queue.
            counts: How many of them to add, the first ones.

        Shape:
            - rows: [B, groups, U, D], U at most the queues' size; B may differ between ranks
            - counts: [B, groups] int64
        """
        self.add(gather_rows(rows.detach()), gather_rows(counts))

    @torch.no_grad()
    def add(self, rows: Tensor, counts: Tensor) -> None:
        """Add vectors that are the same on all ranks.

        Args:
            rows: As in :meth:`enqueue`.
            counts: As in :meth:`enqueue`.
        """
        size, dim = self.rows.shape[1:]
        offset = torch.arange(rows.shape[2], device=rows.device)
        is_added = offset < counts[..., None]
        rows = torch.where(is_added[..., None], rows, 0.0).to(self.rows.dtype)
        is_finite = rows.isfinite().all()
        for added, keep, count in zip(rows, is_added & is_finite, counts * is_finite, strict=True):
            wraps = self.pointer + count >= size
            start = torch.where(wraps, size - count, self.pointer)
            # Distinct slots, also of vectors that are not added: these slots stay as they are.
            slots = ((start[:, None] + offset) % size)[..., None].expand(-1, -1, dim)
            old = self.rows.gather(1, slots)
            self.rows.scatter_(1, slots, torch.where(keep[..., None], added, old))
            self.pointer.copy_(torch.where(wraps, 0, self.pointer + count))

    def sample(self, count: int, permutations: Permutations | None = None) -> Tensor:
        """Return vectors of all queues, from the same random positions of each.

        Args:
            count: Vectors per queue, at most the queues' size.
            permutations: The choice; None: drawn from torch's global generator.

        Shape:
            - output: [1, groups * count, D]
        """
        size = self.rows.shape[1]
        if permutations is None:
            order = torch.randperm(size, device=self.rows.device)
        else:
            order = given_permutation(permutations, size, self.rows.device)
        # A copy: the queue changes before the backward pass.
        return self.rows[:, order[:count]].flatten(0, 1)[None]
