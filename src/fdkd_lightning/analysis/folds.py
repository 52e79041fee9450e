"""Folds for cross-validation: groups stay whole, classes are spread."""

import torch
from torch import Tensor

from fdkd_lightning.analysis.row_checks import check_groups
from fdkd_lightning.ops.checks import check_count

LEAST = 3
"""Two folds to train on, so that a setting can be chosen on one of them."""


def make_folds(
    label: Tensor, groups: Tensor | None = None, folds: int = 5, seed: int = 0
) -> Tensor:
    """Draw the fold of each row.

    With groups, such as the person of each window, a group is in one fold, and each is predicted
    from others. The largest groups are dealt first, each to the smallest fold. Without groups, the
    rows of each class are dealt to the folds in turn.

    Args:
        label: Class of each row.
        groups: Group of each row; None: rows are independent.
        folds: Number of folds.
        seed: Seed of the draw.

    Shape:
        - label, groups, output: [N] int64

    Raises:
        TypeError: If an argument has another type.
        ValueError: If a row has no label, shapes differ, or there are fewer groups (or rows) than
            folds, or fewer than three folds.

    Example:
        >>> label, groups = torch.zeros(4, dtype=torch.int64), torch.tensor([5, 7, 7, 6])
        >>> fold = make_folds(label, groups, folds=3)
        >>> bool(fold[1] == fold[2]), sorted({*fold.tolist()})
        (True, [0, 1, 2])
    """
    check_count("folds", folds, LEAST, example=5)
    check_count("seed", seed, 0)
    rows = label.numel() if isinstance(label, Tensor) else 0
    classes = check_groups("label", label, rows, f"{rows} rows")
    generator = torch.Generator().manual_seed(seed)
    if groups is not None:
        return _whole_groups(
            check_groups("groups", groups, rows, f"label of shape [{rows}]"), folds, generator
        )
    if rows < folds:
        raise ValueError(f"folds={folds} exceeds the {rows} rows of label: take fewer folds")
    order = torch.randperm(rows, generator=generator)
    order = order[classes[order].argsort(stable=True)]
    fold = torch.empty(rows, dtype=torch.int64)
    fold[order] = torch.arange(rows) % folds
    return fold


def _whole_groups(group: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    sizes = group.bincount()
    if len(sizes) < folds:
        raise ValueError(f"folds={folds} exceeds the {len(sizes)} groups: take fewer folds")
    order = torch.randperm(len(sizes), generator=generator)
    order = order[sizes[order].argsort(descending=True, stable=True)]
    filled = torch.zeros(folds, dtype=torch.int64)
    fold_of_group = torch.empty(len(sizes), dtype=torch.int64)
    for number in order.tolist():
        smallest = int(filled.argmin())
        fold_of_group[number] = smallest
        filled[smallest] += sizes[number]
    return fold_of_group[group]
