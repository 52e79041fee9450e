"""The command line on the shipped configurations, in a folder of the test's own."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fdkd_lightning.cli import main

CONFIGS = Path(__file__).parents[3] / "configs"
SHORT = (
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=1",
    "--data.num_workers=0",
)


@pytest.fixture
def fdkd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])

    def run(*arguments: str) -> str:
        capsys.readouterr()
        main([*arguments])
        return capsys.readouterr().out

    return run


@pytest.fixture
def fit(fdkd: Callable[..., str]) -> Callable[..., dict[str, Tensor]]:
    """Runs fit, whose results go to a folder below ``runs``, and returns the best weights."""

    def run(folder: str, *arguments: str) -> dict[str, Tensor]:
        fdkd("fit", *arguments)
        stored = torch.load(f"runs/{folder}/checkpoints/best.ckpt", weights_only=True)
        weights: dict[str, Tensor] = stored["state_dict"]
        assert all(value.isfinite().all() for value in weights.values())
        return weights

    return run


@pytest.fixture
def small(fdkd: Callable[..., str]) -> Callable[..., list[str]]:
    """Arguments for a shipped configuration with a small ResNet and a short run."""

    def arguments(config: str, root: Path, *more: str) -> list[str]:
        text = (CONFIGS / f"{config}.yaml").read_text()
        sizes = "layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]"
        path = Path(f"{Path(config).name}.yaml")
        path.write_text(re.sub(r"in_chans: \d", rf"\g<0>, {sizes}", text))
        return [f"--config={path}", f"--data.root={root}", *SHORT, *more]

    return arguments
