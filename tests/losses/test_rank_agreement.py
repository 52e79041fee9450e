import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from fdkd_lightning.losses.rank_agreement import rank_agreement


def test_a_value_worked_out_by_hand() -> None:
    # 1-2, 1-3 and 2-3 concordant, two discordant, one tied in the second alone.
    a, b = torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([[1.0, 2, 3, 1]])
    assert rank_agreement(a, b).item() == pytest.approx(1 / 30**0.5)


@pytest.mark.parametrize(("k", "levels"), [(2, 2), (3, 3), (6, 2), (6, 3), (50, 1000)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_is_scipy_s_with_ties_too(k: int, levels: int, dtype: torch.dtype) -> None:
    generator = np.random.default_rng(0)
    a, b = (torch.from_numpy(x).to(dtype) for x in generator.integers(levels, size=(2, 30, k)) / 7)
    expected = [
        kendalltau(x, y).statistic
        for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)
    ]
    found = rank_agreement(a, b)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    error = 1e-12 if dtype == torch.float64 else 1e-6
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=error)
    assert ((found > 0).numpy() == (np.array(expected) > 1e-9)).all()


def test_perfect_agreement_is_exactly_1() -> None:
    a = torch.arange(309.0).expand(2, -1)
    assert rank_agreement(a, torch.stack([a[0], -a[0]])).tolist() == [1, -1]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_constant_row_has_no_order_and_is_not_selected(k: int) -> None:
    found = rank_agreement(torch.zeros(2, k), torch.arange(float(k)).expand(2, -1))
    assert found.isnan().all()
    assert not (found > -1).any()


def test_it_has_no_gradient() -> None:
    a = torch.randn(2, 5, requires_grad=True)
    assert not rank_agreement(a, a).requires_grad


def test_other_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match="same classes"):
        rank_agreement(torch.zeros(2, 3), torch.zeros(2, 4))


def test_masked_classes_are_tied_and_nan_stays_nan() -> None:
    a = torch.tensor([[-torch.inf, 1.0, -torch.inf, 2.0], [torch.nan, 1.0, 2.0, 3.0]])
    b = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).repeat(2, 1)
    found = rank_agreement(a, b)
    assert found[0].item() == pytest.approx(kendalltau([-9, 1, -9, 2], [0, 1, 2, 3]).statistic)
    assert found[1].isnan()
