import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from small import Host

from fdkd_lightning.benchmark.run.run_parts import parts_of
from fdkd_lightning.benchmark.run.step_clock import StepClock
from fdkd_lightning.benchmark.run.step_hooks import attached
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Output

NOW = [0]
"""The time, which only what is slow lets pass."""


def spend(units: int) -> None:
    NOW[0] += units


class Sleep(torch.autograd.Function):
    """The identity, which takes so many units forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: int, backward: int) -> Tensor:
        ctx.backward_units = backward
        spend(forward)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        spend(ctx.backward_units)
        return gradients[0], None, None


class Slow(nn.Module):
    def __init__(self, forward: int, backward: int) -> None:
        super().__init__()
        self.units = forward, backward
        self.body, self.fc = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Output:
        features = Sleep.apply(self.body(x), *self.units)
        return Output(features, self.fc(features))


class SlowLoss(DistillationLoss):
    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        assert teacher is not None
        slow = Sleep.apply(student.features, 4, 5)
        return {"slow": (slow - teacher.features).square().mean()}


class SlowSGD(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        loss = closure()
        spend(6)
        super().step()
        return loss


class SlowSamples(list[dict[str, Any]]):
    def __getitem__(self, i: Any) -> Any:
        spend(7)
        return super().__getitem__(i)


class Watch(Callback):
    def __init__(self, clock: StepClock) -> None:
        self.clock = clock

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.attached = attached(self.clock, parts_of(pl_module, trainer), trainer)
        self.attached.__enter__()

    def on_train_batch_end(self, *args: Any) -> None:
        self.clock.end_step()

    def on_train_end(self, *args: Any) -> None:
        self.attached.__exit__(None, None, None)


def fit(module: Any, callbacks: list[Callback]) -> dict[str, int]:
    """Fit for two steps of a sample; return the second step's parts."""
    clock = StepClock(lambda: NOW[0])
    sample = {"audio": torch.ones(3), "visual": torch.ones(3), "label": 1, "index": 0}
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_steps=2,
        callbacks=[*callbacks, Watch(clock)],
    )
    given = trainer.strategy.backward, trainer.profiler  # type: ignore[has-type]  # set by a connector
    trainer.fit(module, DataLoader(SlowSamples([sample] * 2)))  # type: ignore[arg-type]  # a list is a data set
    assert (trainer.strategy.backward, trainer.profiler) == given  # type: ignore[has-type]
    return {part: int(units) for part, units in clock.steps[1].items() if units}


def optimizer(parameters: Any) -> SlowSGD:
    return SlowSGD(parameters, lr=0.1)


# Forward and backward of the student are 1 and 2, forward of the teacher 3, the loss 4 and 5.
PARTS = {"data": 7, "student": 1 + 2, "teacher audio": 3, "loss": 4 + 5, "optimizer": 6}


@pytest.mark.filterwarnings("ignore")
def test_each_part_of_the_module_s_step_has_its_time() -> None:
    module = DistillationModule(
        *(Slow(1, 2), {"audio": Slow(3, 0)}, SlowLoss(), "visual"),
        optimizer=optimizer,
        teacher_check_batches=0,
    )
    assert fit(module, []) == PARTS


@pytest.mark.filterwarnings("ignore")
def test_each_part_of_another_s_module_s_step_has_its_time() -> None:
    class Slowly(Host):
        def configure_optimizers(self) -> Any:
            return optimizer(self.parameters())

    callback = DistillationCallback(
        *({"audio": Slow(3, 0)}, SlowLoss()), student_input="visual", teacher_check_batches=0
    )
    assert fit(Slowly(Slow(1, 2)), [callback]) == PARTS
