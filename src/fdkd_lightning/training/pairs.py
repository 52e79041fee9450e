"""What a criterion sees at once: the samples that student and teacher both have."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.ops.distributed import gather_objects, gather_rows
from fdkd_lightning.training.missing_modality import MIN_SAMPLES, present_mask, select
from fdkd_lightning.types import Batch, Output


class Pair(NamedTuple):
    """The same samples in the student and in one teacher.

    Shape:
        - target: [N] or [N, H, W], -100 where there is no label
    """

    student: Output
    teacher: Output | None
    target: Tensor


def make_pairs(
    student: Output | None, teachers: Mapping[str, Output | None], batch: Batch, size: int
) -> list[Pair | None]:
    """The student with each teacher, on the samples that both have.

    In a step in which a sample of any process lacks either side, the samples of all processes are
    put together, and each process gets the same pair. Its own samples have the gradient, times the
    number of processes, so that the gradient averaged over these is that of one process with the
    whole batch, whatever the criterion is: a mean, one that compares samples, one that counts over
    the processes itself, or batch norm. It also calls all processes' criteria equally often, which
    those that count must be.

    Args:
        student: Its output for the batch's samples; None: they are too few to learn from.
        teachers: Modality -> that teacher's output for the samples that have it; None: likewise.
        batch: The samples that have the student's modality.
        size: How many samples there were with those that lack it.

    Returns:
        A pair per teacher, or one without a teacher. None stands for one that teaches nothing:
        where samples lack a side and fewer than two, of all processes, have both.

    Raises:
        ValueError: If outputs of different shapes were to be put together.

    Example:
        >>> output = Output(torch.eye(3), torch.zeros(3, 2))
        >>> has = torch.tensor([True, False, True])
        >>> batch = {"label": torch.tensor([0, 1, 1]), "present": {"audio": has}}
        >>> (pair,) = make_pairs(output, {"audio": select(output, has)}, batch, 3)
        >>> pair.target
        tensor([0, 1])
    """
    target = batch["label"]
    pairs: list[Pair | None] = []
    for modality, teacher in teachers.items():
        if student is None or teacher is None:
            pairs.append(None)
        elif (has := present_mask(batch, modality)) is None:
            pairs.append(Pair(student, teacher, target))
        else:
            pairs.append(Pair(select(student, has), teacher, target[has]))
    if not teachers:
        pairs.append(None if student is None else Pair(student, None, target))
    return _of_all_processes(pairs, size, target.device) if "present" in batch else pairs


class _Share(NamedTuple):
    """What a process tells the others of its pair."""

    size: int
    whole: bool  # no sample lacks a side
    empty: Pair | None  # the pair without its samples: shapes, types, and what has a gradient


def _of_all_processes(
    pairs: list[Pair | None], size: int, device: torch.device
) -> list[Pair | None]:
    own = [_share(pair, size) for pair in pairs]
    result: list[Pair | None] = []
    for pair, *shares in zip(pairs, *gather_objects(own), strict=True):
        if all(share.whole for share in shares):
            result.append(pair)
        elif sum(share.size for share in shares) < MIN_SAMPLES:
            result.append(None)
        else:
            result.append(pair if len(shares) == 1 else _joined(pair, shares, device))
    return result


def _share(pair: Pair | None, size: int) -> _Share:
    if pair is None:
        return _Share(0, False, None)
    count = len(pair.target)
    empty: Pair = _each(pair, _without_samples)
    return _Share(count, count == size, empty)


def _without_samples(x: Tensor) -> Tensor:
    shape = (0, *x.shape[1:])
    return torch.empty(shape, dtype=x.dtype, requires_grad=x.requires_grad)


def _joined(pair: Pair | None, shares: Sequence[_Share], device: torch.device) -> Pair:
    """The samples of all processes, in the order of their ranks."""
    known = [share.empty for share in shares if share.empty is not None]
    shapes = [_each(empty, lambda x: (list(x.shape[1:]), x.dtype)) for empty in known]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"processes have outputs of different shapes, {shapes}: where a sample may lack a "
            "modality they are put together, so let the data give all samples one size"
        )
    if pair is None:
        pair = _each(known[0], lambda x: x.to(device))
    joined: Pair = _each(pair, gather_rows)
    return joined


def _each(x: Any, change: Callable[[Tensor], Any]) -> Any:
    """A pair with each of its tensors changed."""
    if x is None:
        return None
    if isinstance(x, Tensor):
        return change(x)
    parts = [_each(part, change) for part in x]
    return x._make(parts) if hasattr(x, "_make") else tuple(parts)
