from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fits import trainer
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)
from small import distilled, loader

from fdkd_lightning.training.strategy_check import check_module_strategy

LACKING = {"present": {"visual": torch.ones(2, dtype=torch.bool)}}


def with_strategy(kind: type, **attributes: Any) -> Any:
    strategy = object.__new__(kind)
    vars(strategy).update(attributes)
    return SimpleNamespace(strategy=strategy)


@pytest.mark.parametrize("kind", [SingleDeviceStrategy, DDPStrategy])
def test_where_the_module_stays_whole_samples_may_lack_a_modality(kind: type) -> None:
    check_module_strategy(with_strategy(kind), LACKING, {"visual"})


@pytest.mark.parametrize(
    ("kind", "why"),
    [(DeepSpeedStrategy, "saves shards"), (ModelParallelStrategy, "counts the same samples")],
)
def test_strategies_that_would_train_or_save_something_else_are_refused(
    kind: type, why: str
) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}, which {why}.*set strategy to ddp"):
        check_module_strategy(with_strategy(kind), {}, {"visual"})


def test_fsdp_is_taken_where_all_ranks_run_all_networks_and_one_file_is_saved() -> None:
    strategy = with_strategy(FSDPStrategy, _state_dict_type="full")
    check_module_strategy(strategy, {}, {"visual"})
    # Only a frozen teacher, which is not split, lacks an input.
    check_module_strategy(strategy, LACKING, {"audio"})
    with pytest.raises(ValueError, match=r"may lack visual, .* FSDPStrategy waits for all ranks"):
        check_module_strategy(strategy, LACKING, {"visual", "audio"})
    with pytest.raises(ValueError, match=r"state_dict_type='sharded'.*set it to 'full'"):
        check_module_strategy(with_strategy(FSDPStrategy, _state_dict_type="sharded"), {}, {"a"})


def test_lightnings_strategy_has_the_attribute_that_is_read() -> None:
    assert FSDPStrategy(state_dict_type="sharded")._state_dict_type == "sharded"


class Splitting(SingleDeviceStrategy):
    """Another of its name: Lightning's starts a process group."""


Splitting.__name__ = "ModelParallelStrategy"


def test_a_fit_is_refused_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: Any) -> None:
        pytest.fail("a step was trained")

    module = distilled()
    monkeypatch.setattr(module, "training_step", step)
    with pytest.raises(ValueError, match=r"trainer\.strategy is ModelParallelStrategy"):
        trainer(tmp_path, strategy=Splitting("cpu")).fit(module, loader())
