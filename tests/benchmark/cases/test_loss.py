import pytest
import torch

from fdkd_lightning.benchmark.cases.loss import LossPair, compare_forms
from fdkd_lightning.benchmark.measure import Limits


@pytest.mark.parametrize("shape", [(8, 32), (2, 16, 3, 4)])
def test_both_forms_have_one_value_and_gradient(shape: tuple[int, ...]) -> None:
    pair = LossPair(shape, torch.float64)
    assert pair.fused().item() == pytest.approx(pair.plain().item(), rel=1e-12)
    assert 0 < pair.deviation() < 1e-10


def test_a_deviation_is_found() -> None:
    pair = LossPair((8, 32))
    pair.criterion.lambda_low = 2.0
    assert pair.deviation() > 1e-3


def test_the_rows_compare_the_package_with_the_plain_form() -> None:
    rows = compare_forms((4, 16), Limits(2))
    assert [row.variant for row in rows] == [
        *("plain form", "FDKDLoss", "deviation, float32", "deviation, float64")
    ]
    assert rows[1].compared_with == "plain form"
    assert {row.size for row in rows} == {"4x16 with heads"}
    assert rows[3].median < 1e-10
