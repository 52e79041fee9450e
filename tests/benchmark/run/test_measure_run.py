import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import ReduceLROnPlateau

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from recordings import Pairs, Teacher
from small import Host, Norm, sgd, unimodal

from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED, MeasuredRun, measure_run
from fdkd_lightning.losses import FeatureLoss, KDLoss, LayerwiseLoss
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.unimodal import UnimodalModule

pytestmark = pytest.mark.filterwarnings("ignore")


def measure(folder: Path, model: LightningModule, data: Any = None, **settings: Any) -> MeasuredRun:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        max_epochs=1,
        enable_progress_bar=False,
        **settings,
    )
    return measure_run(trainer, model, data or Pairs(), folder / "caches", 4, 30.0, 2)


def distillation(**settings: Any) -> DistillationModule:
    given: dict[str, Any] = {"criterion": KDLoss(), "optimizer": sgd} | settings
    return DistillationModule(Teacher(3), {"audio": Teacher()}, student_modality="visual", **given)


def test_both_variants_are_measured_and_the_teacher_does_not_run_in_one(tmp_path: Path) -> None:
    module, data = distillation(), Pairs()
    measured = measure(tmp_path, module, data)
    assert [len(measured.steps[name]) for name in (CONFIGURED, CACHED)] == [4, 4]
    assert measured.why_not_cached is None
    assert measured.skipped == ["audio"]
    assert measured.row_bytes == 4 * (4 + 2)
    assert measured.facts == {"batches": 6, "batch_size": 4, "num_workers": 0, "samples": 22}
    teacher = module.teachers["audio"]
    assert isinstance(teacher, Teacher)
    assert module.teacher_check_batches == 50
    assert data.skipped == frozenset()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parts[len(tmp_path.parts)] for path in files} == {"caches"}


def test_maps_are_stored_where_the_criterion_needs_them(tmp_path: Path) -> None:
    criterion = LayerwiseLoss(FeatureLoss(), [0])
    measured = measure(tmp_path, distillation(criterion=criterion))
    assert measured.with_maps
    assert measured.why_not_cached is None
    assert measured.row_bytes == 4 * (4 + 2 + 4 * 2 * 3 + 2)


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    measured = measure(tmp_path, unimodal(Norm()), accumulate_grad_batches=2)
    assert [*measured.steps] == [CONFIGURED]
    assert measured.why_not_cached == "the run has no teacher"
    assert len(measured.steps[CONFIGURED]) == 4


def test_a_schedule_that_waits_for_validation_is_no_obstacle(tmp_path: Path) -> None:
    module = UnimodalModule(
        *(Norm(), "visual"),
        optimizer=sgd,
        lr_scheduler=lambda optimizer: ReduceLROnPlateau(optimizer, monitor="val/loss"),
    )
    assert len(measure(tmp_path, module, Pairs(size=12)).steps[CONFIGURED]) == 4


def test_data_without_ids_cannot_be_cached_and_are_measured_all_the_same(tmp_path: Path) -> None:
    class WithoutIds(Pairs):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            batch = super().on_after_batch_transfer(batch, dataloader_idx)
            return {name: x for name, x in batch.items() if name != "index"}

    measured = measure(tmp_path, distillation(), WithoutIds())
    assert len(measured.steps[CONFIGURED]) == 4
    assert CACHED not in measured.steps
    assert "the batch holds no 'index'" in str(measured.why_not_cached)


def test_a_module_under_the_callback_is_measured_with_both(tmp_path: Path) -> None:
    callback = DistillationCallback(
        {"audio": Norm(4)}, FeatureLoss(), student_input="visual", teacher_check_batches=None
    )
    measured = measure(tmp_path, Host(), callbacks=[callback])
    assert measured.why_not_cached is None
    assert [len(measured.steps[name]) for name in (CONFIGURED, CACHED)] == [4, 4]
    assert measured.skipped == []  # its module may read it
    assert callback.teacher_check_batches is None
    assert callback.inputs.index is None
    assert callback.inputs.read({"audio": 1, "label": 2}) == {"audio": 1, "label": 2}
    parts = {name for step in measured.steps[CONFIGURED] for name in step}
    assert {"student", "teacher audio", "loss", "optimizer", "data"} <= parts
