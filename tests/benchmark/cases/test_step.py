from fdkd_lightning.benchmark.cases.networks import SMALL
from fdkd_lightning.benchmark.cases.step import AGAINST, measure_steps
from fdkd_lightning.benchmark.measure import Limits


def test_each_way_is_compared_with_its_bound() -> None:
    setting = SMALL._replace(channels=(4, 4, 8, 8), side=16, batch=2, steps=1)
    rows = measure_steps(setting, Limits(2))
    found = {row.variant: row.compared_with for row in rows if row.compared_with}
    assert found == AGAINST
    assert len(rows) == 6
