import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.mfh_saliency import mfh_saliency, permutation_errors

# The formula once more, by loops.


def orders(shape: tuple[int, int], repeats: int) -> list[np.ndarray]:
    """The permutations that the global generator gives next: [N, D], one column per channel."""
    return [torch.rand(shape).argsort(0).numpy() for _ in range(repeats)]


def errors_by_hand(
    logits: np.ndarray,
    features: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    permutations: list[np.ndarray],
) -> np.ndarray:
    """Mean squared distance of the logits from those of features with one channel permuted."""
    found = np.zeros(features.shape[1])
    for order in permutations:
        for d in range(features.shape[1]):
            permuted = features.copy()
            for n in range(len(features)):
                permuted[n, d] = features[order[n, d], d]
            total = 0.0
            for n in range(len(features)):
                for k in range(len(weight)):
                    total += (logits[n, k] - permuted[n] @ weight[k] - bias[k]) ** 2
            found[d] += total / logits.size / len(permutations)
    return found


def test_a_saliency_worked_out_by_hand() -> None:
    # Two samples: a permutation of a channel either swaps its values or leaves them. The student
    # agrees with h = (f1 + 2 f2, 3 f3), so a swap of values that differ by a costs (a w)^2 in both
    # samples, over K = 2: with a = 1 that is 1/2, 2 and 9/2. The fourth channel is unused.
    features = torch.tensor([[1.0, 0, 3, 5], [0, 1, 2, -5]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 2, 0, 0], [0, 0, 3, 0]], dtype=torch.float64)
    logits = features @ weight.T
    torch.manual_seed(0)
    swapped = np.mean([order[0] for order in orders((2, 4), 400)], axis=0)
    torch.manual_seed(0)
    found = mfh_saliency(logits, features, weight, torch.zeros(2), repeats=400)
    errors = np.array([1 / 2, 2, 9 / 2, 0]) * swapped
    assert found.tolist() == pytest.approx((errors / errors.max()).tolist(), abs=1e-12)
    assert found.tolist() == pytest.approx([1 / 9, 4 / 9, 1, 0], abs=0.1)


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(("n", "d", "k"), [(5, 6, 3), (2, 16, 2), (32, 3, 7)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_the_saliency_is_that_of_the_formula(
    n: int, d: int, k: int, repeats: int, dtype: torch.dtype, error: float
) -> None:
    random = np.random.default_rng(0)
    logits, features = random.normal(size=(n, k)), random.normal(size=(n, d))
    weight, bias = random.normal(size=(k, d)), random.normal(size=k)
    torch.manual_seed(3)
    expected = errors_by_hand(logits, features, weight, bias, orders((n, d), repeats))
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    torch.manual_seed(3)
    tensors = (torch.from_numpy(x).to(dtype) for x in (logits, features, weight, bias))
    found = mfh_saliency(*tensors, repeats)
    assert found.dtype == dtype
    assert found.tolist() == pytest.approx(expected.tolist(), abs=error)
    assert (found.min().item(), found.max().item()) == (0, 1)


def test_there_are_ten_permutations_unless_told_otherwise() -> None:
    tensors = torch.randn(4, 3), torch.randn(4, 5), torch.randn(3, 5), torch.randn(3)
    found = []
    for repeats in ((), (10,), (9,)):
        torch.manual_seed(0)
        found.append(mfh_saliency(*tensors, *repeats))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_what_both_agree_on_is_salient_and_what_only_the_teacher_sees_is_not() -> None:
    torch.manual_seed(0)
    shared, private = torch.randn(2, 64, 4)
    features, weight = torch.cat([shared, private], 1), torch.randn(3, 8)
    saliency = mfh_saliency(shared @ weight[:, :4].T, features, weight, torch.zeros(3))
    assert saliency[:4].min() > saliency[4:].max()


@pytest.mark.parametrize("features", [torch.ones(4, 5), torch.zeros(4, 5), torch.randn(1, 5)])
def test_where_all_channels_matter_alike_none_is_salient(features: Tensor) -> None:
    n = len(features)
    found = mfh_saliency(torch.randn(n, 3), features, torch.randn(3, 5), torch.randn(3))
    assert found.tolist() == [0] * 5


def test_the_scale_of_the_logits_does_not_matter() -> None:
    logits, features, weight = torch.randn(8, 3), torch.randn(8, 5), torch.randn(3, 5)
    found = []
    for scale in (1.0, 1024.0):
        torch.manual_seed(0)
        found.append(mfh_saliency(scale * logits, features, scale * weight, torch.zeros(3)))
    torch.testing.assert_close(*found)


def test_no_permutation_is_an_error() -> None:
    arguments = torch.ones(2, 3), torch.ones(2, 5), torch.ones(3, 5), torch.ones(3)
    with pytest.raises(ValueError, match="repeats=0 must be at least 1"):
        mfh_saliency(*arguments, repeats=0)


def test_errors_are_the_saliency_before_it_is_scaled() -> None:
    tensors = torch.randn(4, 3), torch.randn(4, 5), torch.randn(3, 5), torch.randn(3)
    torch.manual_seed(0)
    errors = permutation_errors(*tensors, 2)
    torch.manual_seed(0)
    scaled = (errors - errors.min()) / (errors.max() - errors.min())
    assert torch.equal(mfh_saliency(*tensors, 2), scaled)
