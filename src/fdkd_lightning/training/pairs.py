"""Pair the outputs of student and teacher on the samples that have both modalities."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.ops.distributed import gather_objects, gather_rows
from fdkd_lightning.ops.nested import map_tensors
from fdkd_lightning.training.missing_modality import MIN_SAMPLES, present_mask, select
from fdkd_lightning.types import Batch, Output


class Pair(NamedTuple):
    """The outputs of the student and one teacher, if there is one, for the same samples.

    Shape:
        - target: [N] or [N, H, W], -100 where there is no label
    """

    student: Output
    teacher: Output | None
    target: Tensor


def make_pairs(
    student: Output | None, teachers: Mapping[str, Output | None], batch: Batch, size: int
) -> list[Pair | None]:
    """Pair the student with each teacher on the samples that have both modalities.

    Without a teacher there is a single pair. A pair is None where samples lack a modality and fewer
    than two, over all ranks, have both. ``batch`` holds the samples with the student's modality;
    ``size`` counts the others too.

    If a sample of any rank lacks a modality, the samples of all ranks are gathered, and every rank
    gets the same pair. The samples of a rank keep their gradient, multiplied by the number of
    ranks. The gradient averaged over ranks is then that of one process with all samples, whatever
    the criterion does: take a mean, compare samples, count over ranks itself, or normalise by
    batch statistics. Every rank also calls the criterion equally often, which a criterion that uses
    collectives requires.

    Raises:
        ValueError: If outputs of different shapes or dtypes have to be gathered.

    Example:
        >>> output = Output(torch.eye(3), torch.zeros(3, 2))
        >>> mask = torch.tensor([True, False, True])
        >>> batch = {"label": torch.tensor([0, 1, 1]), "present": {"audio": mask}}
        >>> (pair,) = make_pairs(output, {"audio": select(output, mask)}, batch, 3)
        >>> pair.target
        tensor([0, 1])
    """
    target = batch["label"]
    pairs: list[Pair | None] = []
    for modality, teacher in teachers.items():
        if student is None or teacher is None:
            pairs.append(None)
        elif (mask := present_mask(batch, modality)) is None:
            pairs.append(Pair(student, teacher, target))
        else:
            pairs.append(Pair(select(student, mask), teacher, target[mask]))
    if not teachers:
        pairs.append(None if student is None else Pair(student, None, target))
    return _over_ranks(pairs, size, target.device) if "present" in batch else pairs


class _Share(NamedTuple):
    """A rank's share of a pair, as the other ranks need to know it."""

    size: int
    is_complete: bool  # no sample lacks a modality
    empty: Pair | None  # the pair without its samples: shapes, dtypes, and what has a gradient


def _over_ranks(pairs: list[Pair | None], size: int, device: torch.device) -> list[Pair | None]:
    """Gather those pairs over ranks for which a sample of any rank lacks a modality."""
    result: list[Pair | None] = []
    shares_of_ranks = gather_objects([_share(pair, size) for pair in pairs])
    for pair, *shares in zip(pairs, *shares_of_ranks, strict=True):
        if all(share.is_complete for share in shares):
            result.append(pair)
        elif sum(share.size for share in shares) < MIN_SAMPLES:
            result.append(None)
        else:
            result.append(pair if len(shares) == 1 else _gather(pair, shares, device))
    return result


def _share(pair: Pair | None, size: int) -> _Share:
    if pair is None:
        return _Share(0, False, None)
    count = len(pair.target)
    empty: Pair = map_tensors(pair, _without_samples)
    return _Share(count, count == size, empty)


def _without_samples(x: Tensor) -> Tensor:
    shape = (0, *x.shape[1:])
    return torch.empty(shape, dtype=x.dtype, requires_grad=x.requires_grad)


def _gather(pair: Pair | None, shares: Sequence[_Share], device: torch.device) -> Pair:
    """Gather the samples of all ranks, in the order of the ranks."""
    known = [share.empty for share in shares if share.empty is not None]
    shapes = [map_tensors(empty, lambda x: (list(x.shape[1:]), x.dtype)) for empty in known]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"the outputs on the ranks are of different shapes or dtypes, {shapes}: samples that "
            "may lack a modality are gathered, so let the data give all samples one size"
        )
    if pair is None:
        pair = map_tensors(known[0], lambda x: x.to(device))
    gathered: Pair = map_tensors(pair, gather_rows)
    return gathered
