from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)
from torch import nn

from fdkd_lightning.training.callback.host_check import (
    check_signature,
    check_strategy,
)


@pytest.mark.parametrize("kind", [SingleDeviceStrategy, DDPStrategy])
def test_strategies_that_keep_the_module_whole_are_taken(kind: type) -> None:
    check_strategy(SimpleNamespace(strategy=object.__new__(kind)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy])
def test_strategies_that_split_the_module_are_refused(kind: type) -> None:
    message = rf"{kind.__name__} splits the module.*strategy='ddp'"
    with pytest.raises(ValueError, match=message):
        check_strategy(SimpleNamespace(strategy=object.__new__(kind)))  # type: ignore[arg-type]


class Plain(LightningModule):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)

    def training_step(self, batch: Any, batch_idx: int) -> None: ...


class Iterating(Plain):
    def training_step(self, dataloader_iter: Any) -> None: ...  # type: ignore[override]  # a flavour


def test_a_step_that_fetches_its_batches_is_refused() -> None:
    check_signature(Plain())
    message = r"Iterating\.training_step takes dataloader_iter, .* let it take \(batch, batch_idx\)"
    with pytest.raises(ValueError, match=message):
        check_signature(Iterating())
