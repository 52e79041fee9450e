import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from made_up_pairs import Data, module
from torch import Tensor, nn

from fdkd_lightning.analysis.loading.batches import training_batches
from fdkd_lightning.analysis.loading.students import Student
from fdkd_lightning.analysis.loading.training_terms import training_gradients
from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.feature import FeatureLoss
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Output


class Trained(nn.Module):
    """A linear student."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x)
        return Output(features, self.fc(features))


def batches(data: Data, trainer: Trainer) -> list[Any]:
    return [*training_batches(data, 3, trainer, "")]


def test_terms_are_those_of_the_training_step(trainer: Trainer, data: Data) -> None:
    torch.manual_seed(0)
    made = DistillationModule(
        Trained(), {"audio": module().teachers["audio"]}, FeatureLoss(weight=2.0), "visual"
    )
    before = copy.deepcopy(made.state_dict())
    students = [Student("as configured", "student", made.model, None)]
    found = training_gradients(made, students, batches(data, trainer))
    assert [(row.batch, row.term) for row in found] == [
        (b, term) for b in range(3) for term in ("task", "feature")
    ]
    for number, batch in enumerate(batches(data, trainer)):
        output = made.model(batch["visual"])
        task = nn.functional.cross_entropy(output.logits, batch["label"], ignore_index=-100)
        teacher = made.teachers["audio"](batch["audio"]).features
        distance = 2 * nn.functional.mse_loss(output.features, teacher.detach())
        body = [*made.model.parameters()]
        vectors = [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(x, body, materialize_grads=True, retain_graph=True)
                ]
            )
            for x in (task, distance)
        ]
        rows = [row for row in found if row.batch == number]
        assert [row.norm for row in rows] == pytest.approx(
            [float(v.norm()) for v in vectors], rel=1e-4
        )
        cosine = torch.cosine_similarity(*vectors, dim=0)
        assert rows[1].cosine == pytest.approx(float(cosine), abs=1e-4)
        assert math.fsum(row.share for row in rows) == pytest.approx(1)
        # Feat has no weights of its own.
        assert rows[0].criterion == "trained"
    after = made.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in made.parameters())


def fdkd() -> DistillationModule:
    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())
    return DistillationModule(Trained(), {"audio": module().teachers["audio"]}, criterion, "visual")


def test_the_criterion_has_the_weights_of_a_checkpoint_of_the_same(
    trainer: Trainer, data: Data, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    made = fdkd()
    output = Output(torch.zeros(2, 4), torch.zeros(2, 3))
    made.distiller.build(output, {"audio": output})
    path = tmp_path / "best.ckpt"
    state = {
        k: torch.zeros_like(v) if "distiller" in k else v for k, v in made.state_dict().items()
    }
    torch.save({"state_dict": state, "epoch": 3}, path)
    students = [
        Student("w/o KD", "student", made.model, None),
        Student("FD-CMKD", "student FD-CMKD", made.model, str(path)),
    ]
    found = training_gradients(fdkd(), students, batches(data, trainer))
    labels = {(row.student, row.criterion) for row in found}
    assert labels == {("w/o KD", "untrained"), ("FD-CMKD", "trained")}
    # Shared heads of zeros give the student no gradient.
    align = [row for row in found if row.term == "align"]
    assert all((row.norm == 0) == (row.student == "FD-CMKD") for row in align)


def test_without_task_loss_there_is_nothing_to_compare_with(trainer: Trainer, data: Data) -> None:
    made = module()
    made.task_weight = None
    with pytest.raises(ValueError, match="task_weight=None"):
        training_gradients(made, [], batches(data, trainer))
