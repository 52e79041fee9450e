import errno
import os
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from fdkd_lightning.training.parser.exception_text import clip, explain_exception, with_place


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_exception_of_other_code_has_its_type_and_line() -> None:
    lines = explain_exception(raised(ZeroDivisionError("x\n" * 30)), []).splitlines()
    assert lines[0] == "ZeroDivisionError: x"
    assert __file__ in "\n".join(lines)
    assert lines[-1] == "  add --debug for the traceback"
    assert len(lines) <= 4
    assert explain_exception(raised(ValueError()), []).startswith("ValueError\n")
    # The text of a KeyError is not quoted.
    assert "KeyError: no x" in explain_exception(raised(KeyError("no x")), [])


GIVEN = [
    "fit",
    "--data.batch_size=12",
    "--data.transforms.audio.n_fft=512",
    "--model.model.num_classes=3",
    "--model.criterion.lambda_low=-1",
    "--model.optimizer.lr=1e-3",
    "--ckpt_path=null",
    "--model.student_modality=audio",
    "--model.teachers.visual.checkpoint=a.ckpt",
]


@pytest.mark.parametrize(
    "message",
    [
        "the student's features [12, 64] do not fit the teacher's [12, 512]",
        "ckpt_path='best.ckpt' does not fit the model: fc.bias [512] instead of [3]",
        "label 'eagle' is none of the 3 classes",
        "10 files are missing, 3 are damaged",
        "no file 'a.ckpt'",
        "the model has 4 classes: set num_classes=3",
        "num_classes=4 must be 12",
        "`num_classes` is wrong",
    ],
)
def test_no_origin_is_guessed_from_a_value_or_a_name_alone(message: str) -> None:
    assert with_place(message, GIVEN) == message


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("num_classes=3. It must be 4", "model.model.num_classes=3"),
        ("lambda_low=-1.0 must be at least 0", "model.criterion.lambda_low=-1"),
        ("(lr=0.001) is too small", "model.optimizer.lr=1e-3"),
        ("batch_size 12 is too large", "data.batch_size=12"),
        ("ckpt_path=None is no file", "ckpt_path=null"),
        ("the batch holds no modality 'audio', only: touch", "model.student_modality=audio"),
    ],
)
def test_a_key_that_is_named_with_its_value_has_an_origin(message: str, key: str) -> None:
    place = f"\n  {key} is given on the command line"
    assert with_place(message, GIVEN) == message + place


def test_an_origin_is_that_of_the_only_key_and_its_last_value(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("model:\n  teachers:\n    visual: {class_path: Net}\n  width: 3")
    given = ["fit", f"--config={path}"]
    found = with_place("the batch holds no modality 'visual'", given)
    assert found.endswith(f"model.teachers.visual is given in {path}, line 3")
    both = [*given, "--model.student_modality=visual"]
    assert "given" not in with_place("the batch holds no modality 'visual'", both)
    assert "given" not in with_place("width=3 is odd", [*given, "--model.width=4"])
    assert "given" not in with_place("width=3 is odd", [*given, "--model.teacher.width=3"])


def test_a_long_text_keeps_its_first_lines_and_its_place() -> None:
    text = clip("\n".join([*map(str, range(100)), "  x is given in a.yaml"]))
    assert text.splitlines()[-1] == "  x is given in a.yaml"
    assert "(97 more lines)" in text
    assert len(text.splitlines()) == 5
    assert len(clip("x" * 10_000)) <= 500
    # The argument stands first, the remedy last.
    cut = clip(f"weights=1 {'x' * 10_000}: give fewer")
    assert cut.startswith("weights=1 ")
    assert cut.endswith(": give fewer")


def test_a_full_disk_that_names_no_file_has_a_remedy() -> None:
    text = explain_exception(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), [])
    assert "No space left on device: make room on the disks of the run's" in text
    assert "make room" not in explain_exception(OSError(errno.EACCES, "denied"), [])


class OwnNames(BoringModel):
    """Logs what it validates under a name of its own."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.log("val_acc", batch.mean())


def test_a_metric_that_the_module_does_not_log_is_answered_with_those_that_it_logs(
    tmp_path: Path,
) -> None:
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(monitor="val/accuracy")],
    )
    with pytest.raises(MisconfigurationException) as error:
        trainer.fit(OwnNames())
    text = explain_exception(error.value, [])
    assert "the module does not log 'val/accuracy', the monitor of a ModelCheckpoint" in text
    assert "it logs val_acc. Give" in text
    assert "--checkpoint.monitor=val_acc" in text
    assert text.endswith("add --debug for the traceback")
