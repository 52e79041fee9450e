from fdkd_lightning.benchmark.cases.curves import measure_cache, measure_curve
from fdkd_lightning.benchmark.measure import Limits


def test_a_point_per_shape() -> None:
    rows = measure_curve("channels", ((2, 8), (2, 16)), Limits(2))
    assert [(row.size, row.variant) for row in rows] == [("channels", "2x8"), ("channels", "2x16")]


def test_a_point_per_size_of_the_cache() -> None:
    rows = measure_cache((10, 200), Limits(2))
    assert [row.variant for row in rows] == ["10 samples", "200 samples"]
