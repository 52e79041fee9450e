"""Made-up pairs, and two checkpoints of the student."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from made_up_pairs import Data


@pytest.fixture
def trainer() -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)


@pytest.fixture
def data() -> Data:
    made = Data(batch_size=7)
    made.setup("fit")
    return made


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    path = tmp_path / "run/checkpoints/best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"scale": torch.full((1,), 0.5)}, path)
    return str(path)
