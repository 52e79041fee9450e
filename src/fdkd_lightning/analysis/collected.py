"""Outputs of several networks on the samples of a split, each on those that have its modality."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.types import IGNORE_INDEX, Output


class Collected(NamedTuple):
    """One network's outputs for the samples that have its modality.

    Args:
        features: Its features.
        logits: Its class scores.
        position: Positions of these samples in the split.

    Shape:
        - features: [M, D]
        - logits: [M, K]
        - position: [M] int64, ascending
    """

    features: Tensor
    logits: Tensor
    position: Tensor


class Split(NamedTuple):
    """Labels, groups and outputs of a split.

    Args:
        label: Class of each sample; -100: none.
        groups: Group of each sample; None: not known.
        outputs: Name of a network -> what it returned.

    Shape:
        - label, groups: [N] int64
    """

    label: Tensor
    groups: Tensor | None
    outputs: dict[str, Collected]

    def labels_of(self, name: str) -> Tensor:
        """Return the labels of the samples that a network has seen."""
        return self.label[self.outputs[name].position]

    def accuracy(self, name: str) -> float:
        """Return a network's accuracy on the samples that have a label and its modality.

        Example:
            >>> seen = Collected(torch.zeros(3, 1), torch.eye(3), torch.arange(3))
            >>> Split(torch.tensor([0, 2, -100]), None, {"audio": seen}).accuracy("audio")
            0.5
        """
        label = self.labels_of(name)
        correct = self.outputs[name].logits.argmax(1) == label
        return float(correct[label != IGNORE_INDEX].double().mean())


class Collector:
    """Outputs of a split's batches, to be joined.

    Args:
        names: Names of the networks.

    Example:
        >>> collector = Collector(["student"])
        >>> output = Output(torch.zeros(1, 8), torch.tensor([[0.0, 1.0]]))
        >>> collector.add("student", output, torch.tensor([True, False]))
        >>> collector.end_batch(torch.tensor([1, 0]))
        >>> split = collector.join(groups=None)
        >>> split.outputs["student"].position.tolist(), split.accuracy("student")
        ([0], 1.0)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._parts: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {name: [] for name in names}
        self._labels: list[Tensor] = []

    def add(self, name: str, output: Output, present: Tensor) -> None:
        """Add a network's output on the samples of a batch that have its modality.

        Raises:
            ValueError: If it has other than one vector per sample.
        """
        for kind, values, shape in (
            ("features", output.features, "[N, D]"),
            ("logits", output.logits, "[N, K]"),
        ):
            if values.ndim != 2:
                raise ValueError(
                    f"the {name}'s {kind} have shape {list(values.shape)}: fdkd analyze compares "
                    f"one vector per sample, {shape}, and does no segmentation"
                )
        [position] = present.cpu().nonzero(as_tuple=True)
        start = sum(map(len, self._labels))
        self._parts[name].append((output.features.cpu(), output.logits.cpu(), start + position))

    def end_batch(self, label: Tensor) -> None:
        """Add the labels of all samples of a batch."""
        self._labels.append(label.cpu())

    def join(self, groups: Sequence[int] | None) -> Split:
        """Return the split.

        Raises:
            ValueError: If a network got no sample, or there is not one group per sample.
        """
        empty = [name for name, parts in self._parts.items() if not parts]
        if empty:
            raise ValueError(f"no sample has the modality of the {empty[0]}: check the data")
        label = torch.cat(self._labels)
        if groups is not None and len(groups) != len(label):
            raise ValueError(
                f"groups has {len(groups)} entries for {len(label)} samples: give one each"
            )
        outputs = {
            name: Collected(*map(torch.cat, zip(*parts, strict=True)))
            for name, parts in self._parts.items()
        }
        return Split(label, None if groups is None else torch.tensor(groups), outputs)
