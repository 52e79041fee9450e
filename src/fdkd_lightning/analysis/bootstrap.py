"""Bootstrap intervals of means over pairs."""

import torch
from torch import Tensor

from fdkd_lightning.ops.checks import check_count, check_range

DRAWS = 1000


def bootstrap_interval(
    values: Tensor,
    groups: Tensor | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Compute percentile intervals of the means over rows.

    Rows are drawn with replacement; where groups are known, such as persons, whole groups are,
    since rows of one group are not independent.

    Args:
        values: One row per pair; each column has an interval of its own.
        groups: Number of each row's group; None: each row is drawn on its own.
        level: Share of the drawn means that lie within.
        draws: Number of drawn means.
        seed: Seed of the draws.

    Shape:
        - values: [N, M]
        - groups: [N] int64
        - each output: [M]

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: If there is no row, or an argument is out of range.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Example:
        >>> low, high = bootstrap_interval(torch.tensor([[0.0], [1.0]]).repeat(50, 1))
        >>> bool(0.35 < low < 0.5 < high < 0.65)
        True
    """
    check_range("level", level, above=0, below=1, example=0.95)
    check_count("draws", draws, example=DRAWS)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"values has shape {list(values.shape)}: give [N, M] with N at least 1")
    unit = torch.arange(len(values))
    if groups is not None:
        unit = torch.unique(groups, return_inverse=True)[1]
    count = int(unit.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(count, (draws, count), generator=generator)
    times = torch.zeros(draws, count, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
    weights = times[:, unit]
    means = weights @ values.double() / weights.sum(1, keepdim=True)
    tail = (1 - level) / 2
    low, high = means.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64), 0)
    return low, high
