from fdkd_lightning.benchmark.cases.checkpoint import measure_checkpoint
from fdkd_lightning.benchmark.cases.networks import SMALL
from fdkd_lightning.benchmark.measure import Limits


def test_a_checkpoint_holds_no_teacher() -> None:
    held, whole = measure_checkpoint(SMALL._replace(side=16, batch=2), Limits())
    weights = 4 * sum(p.numel() for p in SMALL.network().parameters())
    assert held.median > 2 * weights  # with the optimizer's momentum
    assert held.median < whole.median < held.median + weights / 2
