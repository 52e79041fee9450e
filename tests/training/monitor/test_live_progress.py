import contextlib
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import equal, trainer, values
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from small import Host, beside, distilled, loader

from fdkd_lightning.training.monitor.live_progress import LiveProgress, batches_left


class Shown(Callback):
    """What the bar shows after each batch; it comes before the bar."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        bar = trainer.progress_bar_callback
        assert bar is not None
        self.frames.append(dict(bar.get_metrics(trainer, pl_module)))


def fit(folder: Path, module: Any, *callbacks: Callback, epochs: int = 1) -> list[dict[str, Any]]:
    shown = Shown()
    fitted = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[LiveProgress(seconds=1e-9), shown, *callbacks],
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fitted.fit(module, loader(), loader())
    bar: Any = fitted.progress_bar_callback
    assert "get_metrics" not in vars(bar)
    return shown.frames


@pytest.mark.parametrize("bar", [RichProgressBar(), TQDMProgressBar()])
def test_terms_teachers_wait_and_time_to_go_are_shown(tmp_path: Path, bar: ProgressBar) -> None:
    frames = fit(tmp_path, distilled(teacher_check_batches=2), bar, epochs=2)
    assert len(frames) == 4
    for frame in frames:
        assert {"left", "data", "loss", "task", "feature", "audio teacher"} <= frame.keys()
        assert "v_num" not in frame
        total, task, feature = (float(frame[name]) for name in ("loss", "task", "feature"))
        assert total == pytest.approx(task + feature, rel=0.01)  # three digits
        assert 0 <= float(frame["audio teacher"]) <= 1
        assert 0 <= float(frame["data"].removesuffix("%")) <= 100
    # No batch is left.
    assert frames[-1]["left"] == "0:00:00"


def test_the_callback_in_a_foreign_module_shows_its_terms(tmp_path: Path) -> None:
    frames = fit(tmp_path, Host(), beside(), TQDMProgressBar())
    assert all({"loss", "feature"} <= frame.keys() for frame in frames)


def test_training_is_what_it_is_without(tmp_path: Path) -> None:
    found = []
    for callbacks in ([], [LiveProgress()]):
        torch.manual_seed(0)
        module = distilled()
        trainer(tmp_path, *callbacks).fit(module, loader(), loader())
        found.append(values(module))
    assert equal(*found)


class Stub:
    def __init__(self, max_epochs: int | None, max_steps: int, batches: float) -> None:
        self.max_epochs, self.max_steps, self.num_training_batches = max_epochs, max_steps, batches
        self.current_epoch, self.global_step, self.accumulate_grad_batches = 1, 7, 2


@pytest.mark.parametrize(
    ("stub", "left"),
    [
        (Stub(3, -1, 10), 16),  # 2 epochs of 10, 4 batches are done
        (Stub(3, 10, 10), 6),  # 3 steps of 2 batches
        (Stub(None, 5, 10), 0),
        (Stub(-1, -1, 10), None),
        (Stub(3, -1, float("inf")), None),
    ],
)
def test_the_batches_left_are_those_of_the_first_limit(stub: Any, left: int | None) -> None:
    assert batches_left(stub, 4) == left


def test_time_without_a_pace_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds=0 must be above 0"):
        LiveProgress(seconds=0)


def test_a_second_fit_is_shown_too(tmp_path: Path) -> None:
    live, lengths = LiveProgress(seconds=1e-9), []
    for _, epochs in zip(range(2), itertools.count(1), strict=False):
        fitted = trainer(tmp_path, live, epochs=epochs)
        fitted.fit(distilled(), loader())
        lengths.append(fitted.global_step)
    assert lengths == [2, 4]
