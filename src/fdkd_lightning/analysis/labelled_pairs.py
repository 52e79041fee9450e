"""The labelled pairs of two networks' features."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.analysis.collected import Split
from fdkd_lightning.types import IGNORE_INDEX


class Pairs(NamedTuple):
    """Features of two networks on the labelled samples that have both modalities.

    Shape:
        - first: [N, D]
        - second: [N, D']
        - label, groups: [N] int64
    """

    first: Tensor
    second: Tensor
    label: Tensor
    groups: Tensor | None


def labelled_pairs(splits: Sequence[Split], first: str, second: str, most: int) -> Pairs:
    """Return the labelled pairs of some splits; where there are more than ``most``, a draw of them.

    Example:
        >>> from fdkd_lightning.analysis.collected import Collected
        >>> one = Collected(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1), torch.tensor([0, 1]))
        >>> two = Collected(torch.tensor([[3.0], [4.0]]), torch.zeros(2, 1), torch.tensor([1, 2]))
        >>> split = Split(torch.tensor([0, 1, 1]), None, {"one": one, "two": two})
        >>> pairs = labelled_pairs([split], "one", "two", most=10)
        >>> pairs.first.tolist(), pairs.second.tolist(), pairs.label.tolist()
        ([[2.0]], [[3.0]], [1])
    """
    parts = []
    for split in splits:
        rows = []
        has_both = torch.ones(len(split.label), dtype=torch.bool)
        for name in (first, second):
            row = torch.full((len(split.label),), -1)
            row[split.outputs[name].position] = torch.arange(len(split.outputs[name].position))
            has_both &= row >= 0
            rows.append(row)
        kept = has_both & (split.label != IGNORE_INDEX)
        features = [
            split.outputs[name].features[row[kept]]
            for name, row in zip((first, second), rows, strict=True)
        ]
        groups = None if split.groups is None else split.groups[kept]
        parts.append((*features, split.label[kept], groups))
    features_of_first, features_of_second, label, groups_of_splits = zip(*parts, strict=True)
    count = sum(map(len, label))
    chosen = torch.arange(count)
    if count > most:
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(count, generator=generator)[:most].sort().values
    known = [groups for groups in groups_of_splits if groups is not None]
    return Pairs(
        torch.cat(features_of_first)[chosen],
        torch.cat(features_of_second)[chosen],
        torch.cat(label)[chosen],
        torch.cat(known)[chosen] if len(known) == len(splits) else None,
    )
