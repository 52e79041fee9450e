from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.study.head_metrics import HeadMetrics
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Batch, Output

LABELS = [0, 1, 2, 0, 1, -100]


class Net(nn.Module):
    def forward(self, x: Tensor) -> Output:
        return Output(x, x)


class TwoHeads(DistillationLoss):
    """Heads of which one names the input's largest value, the other the class 0."""

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        return {}

    def heads(self, student: Output) -> dict[str, Tensor]:
        zero = torch.tensor([1.0, 0.0, 0.0]).expand_as(student.logits)
        return {"largest": student.features, "zero": zero}


def measured(
    module: LightningModule, folder: Path, times: int = 1, have: Sequence[int] = range(6)
) -> dict[str, float]:
    """The heads' accuracies on six samples, in batches of four, of which one has no label."""
    x = nn.functional.one_hot(torch.tensor([0, 1, 2, 2, 1, 0]), 3).float()
    samples: list[Batch] = [
        {"visual": row, "label": label, "index": i, "present": {"visual": i in have}}
        for i, (row, label) in enumerate(zip(x, LABELS, strict=True))
    ]
    heads = HeadMetrics("accuracy")
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[heads],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    for _ in range(times):
        loader: DataLoader[Batch] = DataLoader(samples, batch_size=4)  # type: ignore[arg-type]  # a list will do
        trainer.test(module, loader, verbose=False)
    return heads.values()


@pytest.mark.parametrize("times", [1, 2])
def test_each_head_has_its_accuracy_over_the_labelled(tmp_path: Path, times: int) -> None:
    module = DistillationModule(Net(), {}, TwoHeads(), "visual")
    # Of five labels the largest value names four, and two are 0; a second pass begins anew.
    assert measured(module, tmp_path, times) == pytest.approx({"largest": 0.8, "zero": 0.4})


def test_samples_that_lack_the_students_modality_do_not_count(tmp_path: Path) -> None:
    module = DistillationModule(Net(), {}, TwoHeads(), "visual")
    # Labels 1, 2 and 0 of the first batch, of which the largest value names two; then none.
    assert measured(module, tmp_path, have=[1, 2, 3]) == pytest.approx(
        {"largest": 2 / 3, "zero": 1 / 3}
    )


def test_a_module_without_a_criterion_has_no_heads(tmp_path: Path) -> None:
    assert measured(UnimodalModule(Net(), "visual"), tmp_path) == {}
