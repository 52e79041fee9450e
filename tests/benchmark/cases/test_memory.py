import torch

from fdkd_lightning.benchmark.cases.memory import measure_loss, measure_step, peak_bytes
from fdkd_lightning.benchmark.cases.networks import SMALL
from fdkd_lightning.benchmark.measure import Limits


def test_the_peak_is_what_is_held_at_once() -> None:
    def held_at_once(kept: bool) -> None:
        first = torch.ones(100_000)
        if not kept:
            del first
        torch.ones(100_000)

    assert 400_000 <= peak_bytes(lambda: held_at_once(kept=False)) < 500_000
    assert 800_000 <= peak_bytes(lambda: held_at_once(kept=True)) < 900_000


def test_teacher_and_loss_come_on_top_of_the_student() -> None:
    alone, live = measure_step(SMALL._replace(side=16, batch=4), Limits())
    assert alone.median < live.median < 3 * alone.median
    assert live.ratio == live.median / alone.median


def test_the_fused_loss_holds_less_than_the_plain_form() -> None:
    plain, fused = measure_loss((2, 128, 32, 32), Limits())
    assert fused.median < plain.median
