"""CIRKDv2's relations between channels: within the batch, and to a memory of the teacher's."""

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.cirkd_features import FeaturePair
from fdkd_lightning.losses.feature_queues import FeatureQueues
from fdkd_lightning.losses.masked_batch_norm import PixelProjection
from fdkd_lightning.losses.masked_pool import masked_pool
from fdkd_lightning.losses.permutations import Permutations, given_permutation
from fdkd_lightning.losses.pixels import mean_of, pixel_rows, zero_where_void
from fdkd_lightning.losses.similarity_kl import similarity_kl
from fdkd_lightning.ops.distributed import from_first_rank, gather_rows
from fdkd_lightning.ops.normalize import l2_normalize

BLOCK = 4
"""Height and width of the blocks that the maps are pooled by."""

ENQUEUED = 256
"""The most channels that a step adds to the memory."""


class ChannelMemory(nn.Module):
    """Compare similarities between channels, each the vector of its values at all positions.

    Maps are average-pooled by 4x4 blocks, of which those at the border may be smaller, and the
    student's are projected to the teacher's channels. Each channel is normalised over the
    positions.

    Args:
        student_features: Channels of the student.
        teacher_features: Channels of the teacher.
        positions: Number of pooled positions, the size of a channel's vector.
        size: Vectors in the queue.
        samples: Vectors that a step compares with.

    Reference:
        winycg/CIRKD, losses/cirkd_channel.py (StudentSegChannelContrast).

    Example:
        >>> memory = ChannelMemory(4, 8, positions=2, size=10)
        >>> x, y = torch.ones(1, 4, 1, 8), torch.ones(1, 8, 1, 8)
        >>> labels = torch.zeros(1, 1, 8, dtype=torch.long)
        >>> terms = memory(FeaturePair(x, y, labels, labels >= 0), temperature=0.1)
        >>> list(terms), memory.queue.pointer.tolist()
        (['channel_pairs', 'channel_memory', 'channel_mse'], [8])
    """

    def __init__(
        self,
        student_features: int,
        teacher_features: int,
        positions: int,
        size: int = 10000,
        samples: int = 2048,
    ) -> None:
        super().__init__()
        self.samples = min(samples, size)
        self.projection = PixelProjection(student_features, teacher_features)
        self.queue = FeatureQueues(1, size, positions)

    def forward(
        self, pair: FeaturePair, temperature: float, permutations: Permutations | None = None
    ) -> dict[str, Tensor]:
        """Return the terms; in training, add the teacher's channels to the queue before the last.

        Raises:
            ValueError: If the maps have another number of positions than the queue's vectors.
        """
        student, blocks = masked_pool(pair.student, pair.counted, BLOCK)
        teacher, _ = masked_pool(pair.teacher, pair.counted, BLOCK)
        self._check_positions(pair.student, blocks)
        projected = self.projection(pixel_rows(student), blocks.flatten())
        student = projected.unflatten(0, blocks.shape).movedim(-1, 1).to(teacher.dtype)
        student = zero_where_void(student, blocks)
        student, teacher = (l2_normalize(x.flatten(2), dim=2) for x in (student, teacher))
        rows, teacher_rows = student.flatten(0, 1), teacher.flatten(0, 1)
        has_pixels = blocks.flatten(1).any(1)
        counted = has_pixels[:, None].expand(teacher.shape[:2]).flatten()
        divergence = similarity_kl(rows, teacher_rows, student, teacher, temperature)
        pairs = mean_of(divergence, counted[:, None] & has_pixels)
        error = (student - teacher).square()
        mse = mean_of(error, blocks.flatten(1)[:, None].expand_as(error))
        if self.training:
            self._enqueue(teacher_rows, counted, permutations)
        keys = self.queue.sample(self.samples, permutations).to(rows.dtype)
        to_memory = similarity_kl(rows, teacher_rows, keys, keys, temperature)
        memory = mean_of(to_memory[:, 0], counted)
        return {"channel_pairs": pairs, "channel_memory": memory, "channel_mse": mse}

    @torch.no_grad()
    def _enqueue(self, rows: Tensor, counted: Tensor, permutations: Permutations | None) -> None:
        rows, counted = gather_rows(rows), gather_rows(counted.to(torch.uint8)).bool()
        most = min(ENQUEUED, self.queue.rows.shape[1], len(rows))
        if permutations is None:
            order = torch.randperm(len(rows), device=rows.device)
            # Those that count first, in the order drawn.
            order = order[counted[order].logical_not().to(torch.uint8).argsort(stable=True)]
        else:
            (order,) = counted.nonzero(as_tuple=True)
            if len(order):
                order = order[given_permutation(permutations, len(order), rows.device)]
            most = min(most, len(order))
        order = from_first_rank(order[:most])
        self.queue.add(rows[order][None, None], counted.sum().clamp_max(most).view(1, 1))

    def _check_positions(self, maps: Tensor, blocks: Tensor) -> None:
        positions = self.queue.rows.shape[2]
        if blocks.shape[1:].numel() != positions:
            raise ValueError(
                f"features of {list(maps.shape[2:])} pixels have {blocks.shape[1:].numel()} blocks "
                f"of 4x4, but the loss was built for {positions}: train with images of one size, "
                "or set lambda_channel_pairs, lambda_channel_memory and lambda_channel_mse to None"
            )
