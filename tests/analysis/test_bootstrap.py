import pytest
import torch

from fdkd_lightning.analysis.bootstrap import bootstrap_interval


def test_an_interval_is_about_two_standard_errors_wide() -> None:
    values = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    low, high = bootstrap_interval(values)
    mean, error = values.mean(0), values.std(0) / 400**0.5
    assert (low < mean).all()
    assert (mean < high).all()
    assert ((high - low) / (2 * 1.96 * error)).allclose(torch.ones(3).double(), atol=0.15)


def test_rows_of_one_group_count_as_one() -> None:
    # Ten groups whose ten rows are the same: as ten rows.
    of_groups = torch.randn(10, 1, generator=torch.Generator().manual_seed(0))
    groups = torch.arange(10).repeat_interleave(10) + 5
    rows = of_groups.repeat_interleave(10, 0)
    for found, expected in zip(
        bootstrap_interval(rows, groups), bootstrap_interval(of_groups), strict=True
    ):
        torch.testing.assert_close(found, expected)
    low, high = bootstrap_interval(rows, groups)
    narrow_low, narrow_high = bootstrap_interval(rows)
    assert high - low > 2 * (narrow_high - narrow_low)


def test_a_constant_has_no_width_and_nan_stays_nan() -> None:
    values = torch.tensor([[2.0, float("nan")]] * 4)
    low, high = bootstrap_interval(values)
    assert low[0] == high[0] == 2
    assert low[1].isnan()
    assert high[1].isnan()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (torch.zeros(0, 2), {}, r"values has shape \[0, 2\]"),
        (torch.zeros(3), {}, r"values has shape \[3\]"),
        (torch.zeros(3, 1), {"level": 1.0}, "level=1.0"),
        (torch.zeros(3, 1), {"draws": 0}, "draws=0"),
    ],
)
def test_bad_arguments_are_refused(
    values: torch.Tensor, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **options)  # type: ignore[arg-type]  # of several types
