from pathlib import Path
from typing import Any

import pytest
import torch
from fits import equal, trainer, values
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)
from small import Host, Norm, Source, beside, checkpoint, distilled, loader, unimodal
from torch import Tensor

from fdkd_lightning.training.averaging import save_followed

DECAY = 0.5


class States(Callback):
    """The module's parameters and buffers before training, and after each step."""

    def __init__(self) -> None:
        self.found: list[dict[str, Tensor]] = []

    def on_train_start(self, trainer: Any, module: LightningModule) -> None:
        self.first = values(module)

    def on_train_batch_end(self, trainer: Any, module: LightningModule, *args: Any) -> None:
        self.found.append(values(module))


class Validated(Callback):
    """The module's state in each validation."""

    def __init__(self) -> None:
        self.found: list[dict[str, Tensor]] = []

    def on_validation_batch_end(self, trainer: Any, module: LightningModule, *args: Any) -> None:
        self.found.append(values(module))


def made(kind: str, student: torch.nn.Module | None = None) -> tuple[Any, list[Callback]]:
    """A module, and the callbacks that it needs."""
    torch.manual_seed(1)
    student = student or Norm()
    if kind == "callback":
        return Host(student), [beside()]
    return (unimodal(student) if kind == "unimodal" else distilled(student)), []


def averaged(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The exponential average, which begins with the state after the first step."""
    average = dict(states[0])
    for state in states[1:]:
        average = {
            name: (DECAY * average[name] + (1 - DECAY) * x).to(x.dtype) for name, x in state.items()
        }
    return average


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        torch.testing.assert_close(found[name], x, msg=name)


KINDS = ["unimodal", "distilled", "callback"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_average_is_that_of_all_weights_and_statistics(tmp_path: Path, kind: str) -> None:
    module, needed = made(kind)
    states = States()
    run = trainer(tmp_path, *needed, EMAWeightAveraging(decay=DECAY), states, epochs=2)
    run.fit(module, loader())
    assert len(states.found) == 4
    expected = averaged(states.found)
    assert_close(values(module), expected)
    run.save_checkpoint(path := checkpoint(tmp_path))
    stored = torch.load(path, weights_only=True)["state_dict"]
    assert any(name.startswith("distiller.") for name in stored) == (kind == "distilled")
    assert_close(stored, expected)
    # Tested, and validated again with the same trainer, as it is.
    fresh, _ = made(kind, Norm())
    trainer(tmp_path).test(fresh, loader(), ckpt_path=path, verbose=False)
    assert equal(values(fresh), values(module))
    run.validate(module, loader(), verbose=False)
    assert_close(values(module), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_averages_as_one_that_was_not_interrupted(tmp_path: Path, kind: str) -> None:
    class Save(Callback):
        def on_train_epoch_end(self, trainer: Any, module: LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    def run(resumed: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        module, needed = made(kind)
        average = EMAWeightAveraging(decay=DECAY)
        # Before the callback that adds parts, and after it.
        callbacks = [average, *needed] if resumed else [*needed, average]
        fit = trainer(tmp_path, *callbacks, *([] if resumed else [Save()]), epochs=3)
        fit.fit(module, loader(), ckpt_path=tmp_path / "1.ckpt" if resumed else None)
        parts = needed[0].distiller if needed else module.distiller  # type: ignore[attr-defined]
        return values(module), values(parts)

    if kind == "unimodal":
        pytest.skip("has no parts")
    for whole, again in zip(run(False), run(True), strict=True):
        assert_close(again, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_before_its_first_update_an_average_has_no_effect(tmp_path: Path, kind: str) -> None:
    late = EMAWeightAveraging(update_starting_at_step=99)
    found = []
    for callbacks in ([], [late]):
        module, needed = made(kind, Source())
        validated = Validated()
        run = trainer(tmp_path, *callbacks, *needed, validated, epochs=2)
        run.fit(module, loader(), loader())
        run.save_checkpoint(path := checkpoint(tmp_path))
        stored = torch.load(path, weights_only=True)["state_dict"]
        found.append([*validated.found, values(module), stored])
    assert len(found[0]) == len(found[1]) == 2 + 2 * 2 + 2
    assert all(equal(a, b) for a, b in zip(*found, strict=True))
    # The sanity check sees the weights that were read.
    prefix = "net" if kind == "callback" else "model"
    assert torch.equal(found[1][0][f"{prefix}.net.fc.bias"], torch.full((2,), 0.5))


def test_a_checkpoint_within_an_epoch_has_the_weights_of_its_step(tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_batch_end(
            self, trainer: Any, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if batch_idx == 1:
                trainer.save_checkpoint(checkpoint(tmp_path))
                self.state = values(module)

    save = Save()
    late = EMAWeightAveraging(update_starting_at_step=99)
    trainer(tmp_path, late, save).fit(distilled(), loader(16))
    assert equal(torch.load(checkpoint(tmp_path), weights_only=True)["state_dict"], save.state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("average", [WeightAveraging, StochasticWeightAveraging])
def test_equal_averages_work_too(tmp_path: Path, kind: str, average: Any) -> None:
    module, needed = made(kind)
    states = States()
    given = {"swa_lrs": 0.1, "swa_epoch_start": 1} if average is StochasticWeightAveraging else {}
    run = trainer(tmp_path, *needed, average(**given), states, epochs=3)
    run.fit(module, loader())
    used, found = states.found, values(module)
    if average is StochasticWeightAveraging:
        # It takes the weights at the start of each epoch, and in a last epoch the module has their
        # average, until Lightning takes a step with its last batch.
        found, used = used[6], [states.first, used[1], used[3]]
    for name, _ in module.named_parameters():
        expected = torch.stack([state[name] for state in used]).mean(0)
        torch.testing.assert_close(found[name], expected, msg=name)


def test_a_checkpoint_without_an_average_stays_as_it_is() -> None:
    begun: dict[str, Any] = {
        "state_dict": 1,
        "current_model_state": 2,
        "averaging_state": {"n_averaged": torch.tensor(3)},
    }
    for checkpoint_of in ({"state_dict": 1}, begun):
        save_followed(checkpoint_of)
        assert checkpoint_of["state_dict"] == 1
