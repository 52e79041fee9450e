from statistics import mean

import pytest
import torch
from torch import Tensor

from fdkd_lightning.analysis import Agreement, make_folds, ridge_r2
from fdkd_lightning.analysis.ridge import STRENGTHS

# Of a fold: mean 0, and orthogonal to each other.
SIGN = torch.tensor([[1.0], [1], [-1], [-1]], dtype=torch.float64)
OTHER = torch.tensor([[1.0], [-1], [-1], [1]], dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def r2(x: Tensor, y: Tensor, label: Tensor, fold: Tensor) -> float:
    return ridge_r2(x, y, label, fold, shuffles=1).paired


def one_class(rows: int) -> Tensor:
    return torch.zeros(rows, dtype=torch.int64)


def test_the_explained_part_of_the_variance_by_hand() -> None:
    # y = 2 x + noise of variance 1, which nothing predicts: 4 / 5.
    x, y = SIGN.repeat(3, 1), (2 * SIGN + OTHER).repeat(3, 1)
    fold = torch.arange(3).repeat_interleave(4)
    assert r2(x, y, one_class(12), fold) == pytest.approx(0.8, abs=1e-9)


def test_class_means_come_from_the_other_folds_alone() -> None:
    # Fold 0 lies 2 above the others. Left out, its rows miss by 2; each of the others by 1, half of
    # the offset. So 4 + 1 + 1 is missed, of 3 more that x explains.
    offset = torch.tensor([2.0, 0, 0], dtype=torch.float64).repeat_interleave(4).unsqueeze(1)
    x, fold = SIGN.repeat(3, 1), torch.arange(3).repeat_interleave(4)
    assert r2(x, x + offset, one_class(12), fold) == pytest.approx(3 / 9, abs=1e-9)


def test_a_class_in_one_fold_alone_is_not_scored() -> None:
    x, y = normal(30, 3), normal(30, 2, seed=1) + normal(30, 2)
    label, fold = torch.arange(30) % 2, torch.arange(30) % 5
    # Four equal rows of another class, far off: they are their mean, and teach the others nothing.
    far = torch.cat([x, 100 * x[:1].expand(4, 3)]), torch.cat([y, -100 * y[:1].expand(4, 2)])
    with_far = r2(*far, torch.cat([label, one_class(4) + 2]), torch.cat([fold, one_class(4)]))
    assert with_far == pytest.approx(r2(x, y, label, fold), abs=1e-9)


def test_the_same_features_predict_each_other_in_full() -> None:
    x, label = normal(60, 5), torch.arange(60) % 3
    fold = make_folds(label)
    assert r2(x, x, label, fold) == pytest.approx(1, abs=1e-9)
    rotation, _ = torch.linalg.qr(normal(5, 5))
    assert r2(x, 3 * x @ rotation, label, fold) == pytest.approx(1, abs=1e-9)


def test_what_the_class_says_does_not_count() -> None:
    label = torch.arange(90) % 3
    x, y = normal(90, 4), normal(90, 4, seed=1) + 0.5 * normal(90, 4)
    fold = make_folds(label)
    means = 10 * normal(3, 4, seed=2)
    assert r2(x + means[label], y - means[label], label, fold) == pytest.approx(
        r2(x, y, label, fold), abs=1e-9
    )
    # Were the classes one, their means would be nearly all that there is to predict.
    assert r2(x + means[label], y - means[label], one_class(90), fold) > 0.9


def test_independent_features_and_shuffled_pairs_predict_nothing() -> None:
    found = []
    for seed in range(8):
        x, y = normal(80, 6, seed=2 * seed), normal(80, 6, seed=2 * seed + 1)
        label = torch.arange(80) % 4
        found.append(ridge_r2(x, y, label, make_folds(label, seed=seed), shuffles=3))
        paired = ridge_r2(x, x + y, label, make_folds(label, seed=seed), shuffles=19)
        assert paired.is_above_chance
        assert max(paired.shuffled) < 0.1 < paired.paired
    assert mean(agreement.paired for agreement in found) < 0
    assert mean(x for agreement in found for x in agreement.shuffled) < 0


def brute_force(x: Tensor, y: Tensor, label: Tensor, fold: Tensor) -> float:
    """The definition, fold by fold and penalty by penalty, by the normal equations."""
    classes = torch.nn.functional.one_hot(label).double()

    def error(train: Tensor, test: Tensor, strength: float) -> float:
        means = [torch.linalg.pinv(classes[train]) @ values[train] for values in (x, y)]
        (a, b), (c, d) = (
            [values[rows] - classes[rows] @ m for values, m in zip((x, y), means, strict=True)]
            for rows in (train, test)
        )
        penalty = strength * a.square().sum() / x.shape[1]
        weight = torch.linalg.solve(a.T @ a + penalty * torch.eye(x.shape[1]).double(), a.T @ b)
        return float((d - c @ weight).square().sum())

    missed = total = 0.0
    folds = int(fold.max()) + 1
    for i in range(folds):
        inner = [
            sum(error((fold != i) & (fold != j), fold == j, s) for j in range(folds) if j != i)
            for s in STRENGTHS.tolist()
        ]
        best = STRENGTHS.tolist()[inner.index(min(inner))]
        missed += error(fold != i, fold == i, best)
        total += error(fold != i, fold == i, 1e30)
    return 1 - missed / total


@pytest.mark.parametrize("width", [4, 60])
def test_it_is_ridge_regression_with_nested_cross_validation(width: int) -> None:
    x = normal(45, width)
    y = x[:, :3] @ normal(3, 5, seed=1) + 2 * normal(45, 5, seed=2)
    label = torch.arange(45) % 3
    fold = make_folds(label, folds=4)
    assert r2(x, y, label, fold) == pytest.approx(brute_force(x, y, label, fold), abs=1e-8)


def test_features_that_vary_with_the_class_alone_predict_nothing() -> None:
    label = torch.arange(30) % 3
    assert r2(normal(3, 4)[label], normal(30, 4), label, make_folds(label)) == pytest.approx(0)
    with pytest.raises(ValueError, match=r"y has shape \[30, 4\], and no row .* varies"):
        ridge_r2(normal(30, 4), 0 * normal(30, 4), label, make_folds(label), 1)


def test_shuffles_within_parts_leave_what_the_parts_say() -> None:
    part, label = torch.arange(80) // 2 % 4, torch.arange(80) % 2
    offset = normal(4, 3)[part]
    x, y = offset + 0.1 * normal(80, 3, seed=1), offset + 0.1 * normal(80, 3, seed=2)
    fold = make_folds(label)
    whole = ridge_r2(x, y, label, fold, shuffles=5)
    parts = ridge_r2(x, y, label, fold, shuffles=5, within=2 * part + label)
    assert parts.paired == whole.paired > 0.9
    assert min(parts.shuffled) > 0.9 > 0.1 > max(whole.shuffled)
    with pytest.raises(ValueError, match=r"within has shape \[3\]"):
        ridge_r2(x, y, label, fold, within=one_class(3))


def test_two_folds_are_too_few() -> None:
    with pytest.raises(ValueError, match="and 2 folds: give at least 3"):
        ridge_r2(normal(8, 2), normal(8, 2), one_class(8), torch.arange(8) % 2, 1)


def test_chance_is_the_best_shuffle_and_at_least_zero() -> None:
    assert Agreement(0.1, (0.05, -0.1)).is_above_chance
    assert not Agreement(0.1, (0.05, 0.1)).is_above_chance
    assert not Agreement(-0.1, (-0.2, -0.3)).is_above_chance
