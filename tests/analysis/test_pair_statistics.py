import pytest
import torch
from torch import Tensor

from fdkd_lightning.analysis import compare_pairs, linear_cka


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_pairs_that_share_more_than_their_class_are_told_from_those_that_do_not() -> None:
    label = torch.arange(90) % 3
    means, x = 5 * normal(3, 6, seed=1), normal(90, 6)
    teacher = x + means[label]
    strangers = compare_pairs(teacher, normal(90, 6, seed=2) + means[label], label)
    paired = compare_pairs(teacher, x + normal(90, 6, seed=2) + means[label], label)
    assert max(strangers.r2, *strangers.r2_shuffled) < 0.05
    assert paired.r2 == pytest.approx(0.5, abs=0.15)
    assert max(paired.r2_shuffled) < 0.05
    # The class makes both alike: it needs the shuffle beside it.
    assert strangers.cka == pytest.approx(strangers.cka_shuffled, abs=0.05)
    assert paired.cka > paired.cka_shuffled + 0.02
    assert paired.cka == linear_cka(teacher, x + normal(90, 6, seed=2) + means[label])
    assert (paired.pairs, paired.groups, paired.r2_new_groups) == (90, None, None)


def test_what_holds_within_groups_alone_does_not_hold_for_new_ones() -> None:
    # Each of six groups has a map of its own.
    groups, label = torch.arange(180) % 6, torch.arange(180) // 90
    own = 3 * normal(6, 4, seed=1)
    teacher = normal(180, 4) * 0.1 + own[groups]
    student = 0.1 * normal(180, 4, seed=2) + own[groups] @ normal(4, 4, seed=3) + own[groups] ** 2
    found = compare_pairs(teacher, student, label, groups)
    assert found.r2 > 0.9
    assert found.r2_new_groups is not None
    assert found.r2_new_groups < 0.5
    assert found.groups == 6
    assert found.r2_new_groups_shuffled is not None
    assert len(found.r2_new_groups_shuffled) == len(found.r2_shuffled) == 19
    # All of it is the group's: any two of its rows make as good a pair.
    assert found.r2_shuffled_in_groups is not None
    assert min(found.r2_shuffled_in_groups) > found.r2 - 0.05
    few = compare_pairs(teacher, student, label, groups % 2)
    assert (few.groups, few.r2_new_groups, few.r2_new_groups_shuffled) == (2, None, None)


def test_bands_need_one_width() -> None:
    label = torch.arange(30) % 2
    x = normal(30, 16)
    other = compare_pairs(x, normal(30, 8), label)
    assert (other.bands, other.bands_with_dc, other.bands_permuted) == (None, None, ())
    same = compare_pairs(x, x + 1, label)
    assert same.bands == pytest.approx((1, 1, 1))
    assert same.bands_with_dc is not None
    assert same.bands_with_dc.low < 0.99
    assert len(same.bands_permuted) == 19
    assert same.bands_permuted[0] == pytest.approx((1, 1, 1))


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="have 9 pairs with a label: give at least 10"):
        compare_pairs(normal(9, 4), normal(9, 4), torch.zeros(9, dtype=torch.int64))
