import pytest
import torch
from torch.nn.functional import cross_entropy

from fdkd_lightning.benchmark.cases.networks import SMALL, STUDENT, TEACHER, SyntheticPairs
from fdkd_lightning.benchmark.cases.torchdistill import (
    TEMPERATURE,
    TORCHDISTILL,
    TorchdistillLoop,
    measure_torchdistill,
)
from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.losses.kd import KDLoss

SETTING = SMALL._replace(channels=(4, 4, 8, 8), side=16, batch=4, steps=1)


def test_its_step_is_that_by_hand() -> None:
    pytest.importorskip(TORCHDISTILL)
    data = SyntheticPairs(SETTING)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    student, teacher = SETTING.network(), SETTING.teacher()
    loop = TorchdistillLoop(data, SETTING.network(), teacher)
    output = student(batch[STUDENT])
    (distance,) = KDLoss(TEMPERATURE)(output, teacher(batch[TEACHER]), batch["label"]).values()
    expected = cross_entropy(output.logits, batch["label"]) + distance
    torch.testing.assert_close(loop.loss(batch), expected)


def test_it_is_compared_with_the_loop_by_hand() -> None:
    pytest.importorskip(TORCHDISTILL)
    rows = measure_torchdistill(SETTING, Limits(2))
    assert {row.variant: row.compared_with for row in rows} == {
        "by hand": "",
        "module": "by hand",
        TORCHDISTILL: "by hand",
    }


def test_without_the_package_there_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdkd_lightning.benchmark.cases.torchdistill.find_spec", lambda name: None)
    assert measure_torchdistill(SETTING, Limits(2)) == []
