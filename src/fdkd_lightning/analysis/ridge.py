"""Agreement of two modalities beyond the class: ridge regression between their features."""

from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.analysis.row_checks import check_groups, check_paired
from fdkd_lightning.analysis.shuffle import shuffled_within
from fdkd_lightning.ops.checks import check_count

SHUFFLES = 19
"""Fewest for which a value above all of them has a probability of 1 in 20 by chance."""

STRENGTHS = 10.0 ** torch.arange(-6, 5, dtype=torch.float64)
"""Penalties to choose from, relative to the mean variance of a feature beyond the class."""


class Agreement(NamedTuple):
    """R² of the pairs, and of pairs that are shuffled within their class.

    Args:
        paired: R² of the pairs.
        shuffled: R² of each shuffle.

    Example:
        >>> Agreement(0.24, (0.01, -0.02)).is_above_chance
        True
    """

    paired: float
    shuffled: tuple[float, ...]

    @property
    def is_above_chance(self) -> bool:
        """Whether the pairs predict something, and more than every shuffle."""
        return self.paired > max(0.0, *self.shuffled)


def ridge_r2(
    x: Tensor,
    y: Tensor,
    label: Tensor,
    fold: Tensor,
    shuffles: int = SHUFFLES,
    seed: int = 0,
    within: Tensor | None = None,
) -> Agreement:
    r"""Compute how much of the variance of ``y`` beyond the class a linear map of ``x`` predicts.

    .. math::
        R^2 = 1 - \frac{\sum_i \|y_i - m_{c_i} - W^T (x_i - n_{c_i})\|^2}
                       {\sum_i \|y_i - m_{c_i}\|^2}

    Each fold is predicted from the others: class means m of y and n of x, the map W (ridge
    regression) and its penalty are all fitted without it. The penalty is the one that predicts best
    when one of the other folds is left out as well. Rows whose class no other fold holds are left
    out of the sums.

    1: the features of one modality follow from those of the other. 0 or below: nothing does but
    the class. The shuffled pairs show how far chance goes; their R² is near 0, or below.

    Args:
        x: Features that predict.
        y: Features that are predicted; row i is paired with row i of ``x``.
        label: Class of each row.
        fold: Fold of each row, as of :func:`make_folds`; at least three folds.
        shuffles: Number of shuffles of the pairs within their class.
        seed: Seed of the shuffles.
        within: Part of each row, such as class and person, within which pairs are shuffled; None:
            the class.

    Shape:
        - x: [N, D]
        - y: [N, D'], another width or the same
        - label, fold, within: [N] int64

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the features are not finite floating-point [N, D], shapes differ, a row has
            no label, there are fewer than three folds, or ``y`` does not vary within the classes.

    Reference:
        Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems" (1970).

    Example:
        >>> x, label = torch.randn(60, 4), torch.arange(60) % 3
        >>> found = ridge_r2(x, 2 * x.flip(1) + label.unsqueeze(1), label, torch.arange(60) % 5)
        >>> round(found.paired, 4), found.is_above_chance
        (1.0, True)
    """
    x, y = check_paired(x, y)
    where = f"x of shape {list(x.shape)}"
    label = check_groups("label", label, len(x), where)
    numbers = check_groups("fold", fold, len(x), where)
    parts = label if within is None else check_groups("within", within, len(x), where)
    check_count("shuffles", shuffles, example=SHUFFLES)
    check_count("seed", seed, 0)
    folds = int(numbers.max()) + 1
    if folds < 3:
        raise ValueError(f"fold has shape {list(fold.shape)} and {folds} folds: give at least 3")
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.arange(len(x)), *(shuffled_within(parts, generator) for _ in range(shuffles))]
    targets = [y[order] for order in orders]
    # Squared errors of a penalty, chosen on pairs of folds: [order, left-out fold, penalty].
    inner = torch.zeros(len(orders), folds, len(STRENGTHS), dtype=torch.float64)
    outer = torch.zeros_like(inner)
    total = torch.zeros(len(orders), dtype=torch.float64)
    for i in range(folds):
        for j in range(i, folds):
            # Fitted without both: for the fold that is left out, the other one chooses the penalty.
            is_train = (numbers != i) & (numbers != j)
            fit = _Fit(x, label, is_train)
            for k, target in enumerate(targets):
                fit.learn(target)
                if i == j:
                    outer[k, i], variance = fit.errors(numbers == i)
                    total[k] += variance
                    continue
                inner[k, i] += fit.errors(numbers == j)[0]
                inner[k, j] += fit.errors(numbers == i)[0]
    if not (total > 0).all():
        raise ValueError(
            f"y has shape {list(y.shape)}, and no row of a class that other folds hold varies from "
            "that class's mean: give more rows a class"
        )
    # Of equals the strongest: where nothing could be tried, the class means predict.
    chosen = len(STRENGTHS) - 1 - inner.flip(-1).argmin(-1, keepdim=True)
    paired, *shuffled = (1 - outer.gather(-1, chosen).sum((1, 2)) / total).tolist()
    return Agreement(paired, tuple(shuffled))


class _Fit:
    """Ridge regressions of all penalties on some rows, for any targets: one decomposition."""

    def __init__(self, x: Tensor, label: Tensor, is_train: Tensor) -> None:
        self.label = label
        self.is_train = is_train
        self.counts = label[is_train].bincount(minlength=int(label.max()) + 1)
        self.x = self._without_class(x)
        self.left, values, right = torch.linalg.svd(self.x[is_train], full_matrices=False)
        self.right = right.T
        squares = values.square()
        penalty = STRENGTHS.unsqueeze(1) * squares.sum() / x.shape[1]
        # Where nothing varies, nothing is predicted.
        self.gain = torch.where(squares > 0, values / (squares + penalty), 0)

    def learn(self, y: Tensor) -> None:
        """Fit other targets."""
        self.y = self._without_class(y)
        self.fitted = self.left.T @ self.y[self.is_train]
        self.fitted_gram = self.fitted @ self.fitted.T

    def errors(self, is_scored: Tensor) -> tuple[Tensor, Tensor]:
        """Return the squared error of each penalty on some rows, and that of the class means."""
        is_scored = is_scored & (self.counts[self.label] > 0)
        wanted = self.y[is_scored]
        inputs = self.x[is_scored] @ self.right
        # |w - p g f|² = |w|² - 2 g·c + g·M g: no product of matrices for each penalty.
        shared = ((inputs.T @ wanted) * self.fitted).sum(1)
        gram = (inputs.T @ inputs) * self.fitted_gram
        variance = wanted.square().sum()
        errors = variance - 2 * self.gain @ shared + ((self.gain @ gram) * self.gain).sum(1)
        return errors, variance

    def _without_class(self, values: Tensor) -> Tensor:
        sums = values.new_zeros(len(self.counts), values.shape[1])
        sums.index_add_(0, self.label[self.is_train], values[self.is_train])
        return values - (sums / self.counts.clamp(min=1).unsqueeze(1))[self.label]
