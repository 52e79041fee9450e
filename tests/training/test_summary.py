import json
from pathlib import Path

import pytest

from fdkd_lightning.training.run.run_record import RECORD, VERSION
from fdkd_lightning.training.summary import summary_lines

BEST = {
    "file": "best.ckpt",
    "epoch": 3,
    "validation": {"metrics": {"val/accuracy": 0.91237, "val/loss": 0.5}},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    record = {
        "version": VERSION,
        "fit": {},
        "checkpoints": {"best": BEST, "last": BEST | {"file": "last.ckpt"}},
        "evaluations": [{"checkpoint": BEST, "metrics": {"test/accuracy": 0.875}}],
    }
    (tmp_path / RECORD).write_text(json.dumps(record))
    return tmp_path


def test_after_fit_value_epoch_path_and_next_command_are_given(root: Path) -> None:
    command = ["fit", "--config=a b.yaml", "--overwrite=true", "--ckpt_path", "last", "--x=1"]
    assert summary_lines(root, "val/accuracy", command, "test") == [
        f"best: val/accuracy 0.9124 in epoch 3 (counted from 0): {root / 'checkpoints/best.ckpt'}",
        "next: fdkd test '--config=a b.yaml' --x=1",
    ]


def test_after_test_the_evaluated_checkpoint_comes_first(root: Path) -> None:
    lines = summary_lines(root, "val/f1", ["test", "--config=a.yaml"], "predict")
    assert lines == [
        "tested: best.ckpt, epoch 3: test/accuracy 0.8750",
        f"best: epoch 3 (counted from 0): {root / 'checkpoints/best.ckpt'}",
        "next: fdkd predict --config=a.yaml",
    ]
