from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import equal, trainer, values
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import CSVLogger
from small import Host, Norm, beside, distilled, loader, unimodal
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.losses import DistillationLoss
from fdkd_lightning.report.run_log import read_log
from fdkd_lightning.training.monitor import gradient_shares
from fdkd_lightning.training.monitor.gradient_shares import GradientShares
from fdkd_lightning.types import Output


class Scaled(nn.Module):
    """Two features and logits, its input times a weight; the bias gets no gradient of features."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Output:
        features = self.scale * x[:, :2]
        return Output(features, features + self.bias)


class ThreeTerms(DistillationLoss):
    """By the scale, with inputs of 1: gradients of 3, -1 and 0."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.ones(()))

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        mean = student.features.mean()
        # The criterion's own parameter is not the student's.
        return {"up": 3 * mean + 100 * self.own, "down": -mean, "fixed": torch.ones(())}


def ones(size: int = 8, lacking: int = 0) -> DataLoader[Any]:
    """Samples of ones, of which the first lack the teacher's modality."""
    sample = {"visual": torch.ones(3), "audio": torch.ones(3), "label": 0}
    samples = [
        {**sample, "index": i, **({"present": {"audio": i >= lacking}} if lacking else {})}
        for i in range(size)
    ]
    return DataLoader(samples, 4)  # type: ignore[arg-type]  # a list is a data set


def shares(fitted: Any) -> dict[str, float]:
    return {
        name.removeprefix("gradient_share/"): float(value)
        for name, value in fitted.callback_metrics.items()
        if name.startswith("gradient_share/")
    }


def fit(folder: Path, module: LightningModule, data: DataLoader[Any], *callbacks: Any) -> Any:
    fitted = trainer(folder, *callbacks)
    fitted.fit(module, data)
    return fitted


def test_shares_are_those_of_the_gradients_by_the_students_parameters(tmp_path: Path) -> None:
    module = distilled(Scaled(), criterion=ThreeTerms(), projector=None, task_weight=None)
    found = shares(fit(tmp_path, module, ones(), GradientShares()))
    assert found == {"up": 0.75, "down": 0.25, "fixed": 0.0}


def test_the_task_loss_counts_with_its_weight(tmp_path: Path) -> None:
    module = distilled(Scaled(), criterion=ThreeTerms(), projector=None, task_weight=2.0)
    found = shares(fit(tmp_path, module, ones(), GradientShares()))
    # Both logits are 1, the label is 0: -1/2 and 1/2 by the bias, 0 by the scale, and twice that.
    task = 2 * (0.5**2 + 0.5**2) ** 0.5
    assert found["task"] == pytest.approx(task / (task + 4))
    assert sum(found.values()) == pytest.approx(1)


def test_it_waits_for_a_step_in_which_the_teacher_runs(tmp_path: Path) -> None:
    module = distilled(Scaled(), criterion=ThreeTerms(), projector=None, task_weight=None)
    found = shares(fit(tmp_path, module, ones(lacking=4), GradientShares()))
    assert found == {"up": 0.75, "down": 0.25, "fixed": 0.0}
    module = distilled(Scaled(), criterion=ThreeTerms(), projector=None)
    assert shares(fit(tmp_path, module, ones(lacking=8), GradientShares())) == {}


@pytest.mark.parametrize("make", [distilled, Host])
def test_the_student_learns_what_it_learns_without(
    tmp_path: Path, make: Callable[[], LightningModule]
) -> None:
    found = []
    for more in ([], [GradientShares()]):
        torch.manual_seed(0)
        module = make()
        torch.manual_seed(1)
        callbacks = [beside(teachers={"audio": Norm(6)})] if make is Host else []
        fitted = fit(tmp_path, module, loader(), *callbacks, *more)
        found.append((values(module), torch.rand(3)))
    assert equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert shares(fitted).keys() == {"task", "feature"}
    assert sum(shares(fitted).values()) == pytest.approx(1)


def test_every_second_epoch_is_measured_and_nothing_is_watched_after(tmp_path: Path) -> None:
    module = distilled()
    log = CSVLogger(tmp_path, name="", version="")
    fitted = trainer(tmp_path, GradientShares(2), epochs=4, logger=log, log_every_n_steps=1)
    fitted.fit(module, loader())
    points = read_log(tmp_path / "metrics.csv")["gradient_share/feature"]
    assert [point.epoch for point in points] == [0, 2]
    assert module.distillation_step.observe is None


def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TypeError, match=r"UnimodalModule has no criterion .* leave the callback"):
        fit(tmp_path, unimodal(), loader(), GradientShares())
    with pytest.raises(ValueError, match="every_n_epochs=0"):
        GradientShares(0)
    monkeypatch.setattr(gradient_shares, "strategy_names", lambda trainer: {"FSDPStrategy"})
    with pytest.raises(ValueError, match=r"strategy is .* leave GradientShares out"):
        fit(tmp_path, distilled(), loader(), GradientShares())
