"""CIRKD's memory: queues of the teacher's pixels and regions, by class."""

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn

from fdkd_lightning.losses.cirkd_features import FeaturePair
from fdkd_lightning.losses.class_rows import PixelPositions, class_rows
from fdkd_lightning.losses.feature_queues import FeatureQueues
from fdkd_lightning.losses.masked_batch_norm import PixelProjection
from fdkd_lightning.losses.permutations import Permutations
from fdkd_lightning.losses.pixels import mean_of, pixel_rows
from fdkd_lightning.losses.similarity_kl import similarity_kl
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.types import IGNORE_INDEX

Kind = Literal["pixel", "region"]
"""Kind of the vectors in a queue."""


class ClassMemory(nn.Module):
    """Compare similarities of both networks' pixels to the teacher's earlier pixels and regions.

    Args:
        student_features: Channels of the student.
        teacher_features: Channels of the teacher, and size of the vectors.
        classes: K.
        kinds: Which queues there are.
        pixel_size: Vectors per class in the pixel queues.
        region_size: Vectors per class in the region queues.
        pixel_samples: Pixels that a step compares with, over all classes.
        region_samples: Regions that a step compares with, over all classes.
        pixels_per_class: Most pixels of a class that an image adds.
        pixel_positions: Where these pixels are taken from.

    Reference:
        winycg/CIRKD, losses/cirkd_memory.py (StudentSegContrast).

    Example:
        >>> import torch
        >>> memory = ClassMemory(4, 8, classes=3, pixel_size=20, region_size=10)
        >>> x, y = torch.ones(1, 4, 1, 2), torch.ones(1, 8, 1, 2)
        >>> labels = torch.tensor([[[0, 2]]])
        >>> terms = memory(FeaturePair(x, y, labels, labels >= 0), temperature=0.1)
        >>> memory.queues["pixel"].pointer.tolist(), list(terms)
        ([1, 0, 1], ['pixel_memory', 'region_memory'])
    """

    def __init__(
        self,
        student_features: int,
        teacher_features: int,
        classes: int,
        kinds: Sequence[Kind] = ("pixel", "region"),
        pixel_size: int = 20000,
        region_size: int = 2000,
        pixel_samples: int = 4096,
        region_samples: int = 1024,
        pixels_per_class: int = 16,
        pixel_positions: PixelPositions = "class",
    ) -> None:
        super().__init__()
        self.classes = classes
        sizes: dict[str, int] = {"pixel": pixel_size, "region": region_size}
        samples: dict[str, int] = {"pixel": pixel_samples, "region": region_samples}
        self.samples: dict[str, int] = {
            kind: min(samples[kind] // classes + 1, sizes[kind]) for kind in kinds
        }
        self.pixels_per_class = min(pixels_per_class, pixel_size)
        self.pixel_positions = pixel_positions
        self.projection = PixelProjection(student_features, teacher_features)
        self.queues = nn.ModuleDict(
            {kind: FeatureQueues(classes, sizes[kind], teacher_features) for kind in kinds}
        )

    def forward(
        self, pair: FeaturePair, temperature: float, permutations: Permutations | None = None
    ) -> dict[str, Tensor]:
        """Return the terms; in training, add the teacher's vectors to the queues before."""
        student = l2_normalize(self.projection(pixel_rows(pair.student), pair.counted.flatten()))
        teacher_maps = l2_normalize(pair.teacher)
        teacher = pixel_rows(teacher_maps)
        if self.training:
            self._enqueue(teacher_maps, pair.labels, permutations)
        labelled = (pair.labels != IGNORE_INDEX).flatten()
        if permutations is not None and not labelled.any():
            # The official code draws nothing then.
            return {f"{kind}_memory": mean_of(student.sum(1), labelled) for kind in self.queues}
        terms = {}
        for kind, queues in self._named_queues().items():
            keys = queues.sample(self.samples[kind], permutations).to(student.dtype)
            divergence = similarity_kl(student, teacher, keys, keys, temperature)
            terms[f"{kind}_memory"] = mean_of(divergence[:, 0], labelled)
        return terms

    def _enqueue(self, teacher: Tensor, labels: Tensor, permutations: Permutations | None) -> None:
        rows = class_rows(
            teacher,
            labels,
            self.classes,
            self.pixels_per_class,
            self.pixel_positions,
            permutations,
        )
        added = {"pixel": (rows.pixels, rows.counts), "region": (rows.regions, rows.present)}
        for kind, queues in self._named_queues().items():
            queues.enqueue(*added[kind])

    def _named_queues(self) -> dict[str, FeatureQueues]:
        return {kind: cast(FeatureQueues, queues) for kind, queues in self.queues.items()}
