"""A step of KD in torchdistill, by hand and with the module, where torchdistill is installed."""

import logging
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.cases.networks import (
    RESNET_18,
    SMALL,
    STUDENT,
    TEACHER,
    Setting,
    SyntheticPairs,
)
from fdkd_lightning.benchmark.cases.step import BY_HAND, MODULE
from fdkd_lightning.benchmark.cases.step_loops import HandLoop, fit_seconds
from fdkd_lightning.benchmark.measure import Limits, interleave
from fdkd_lightning.benchmark.row import Row, timed_rows
from fdkd_lightning.losses.kd import KDLoss
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Batch, Output

TORCHDISTILL = "torchdistill"
TEMPERATURE = 4.0


class TorchdistillLoop(HandLoop):
    """The training step of torchdistill's ``DistillationBox``, in the loop of the step by hand.

    It takes logits by hooks, and both networks see the whole batch, of which they take their own
    modality. The mean over the batch and the factor T² are the same as ours.

    Args:
        data: The pairs.
        student: The student.
        teacher: The teacher.

    Raises:
        ImportError: If torchdistill is not installed.
    """

    def __init__(self, data: SyntheticPairs, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__(data.train_dataloader(), student, teacher)
        assert self.teacher is not None
        box: Any = import_module("torchdistill.core.distillation").DistillationBox
        # It describes all that it builds.
        logging.getLogger(TORCHDISTILL).setLevel(logging.WARNING)
        processes: Any = import_module("torchdistill.core.interfaces.registry")
        for modality in (STUDENT, TEACHER):
            processes.register_forward_proc_func(partial(_forward, modality), key=modality)
        module = {"requires_grad": True, "frozen_modules": []}
        self.box = box(
            *(self.teacher, self.student, {}),
            {
                "num_epochs": 1,
                "teacher": module | {"forward_proc": TEACHER, "requires_grad": False} | _hook(),
                "student": module | {"forward_proc": STUDENT} | _hook(),
                "optimizer": {"key": "SGD", "kwargs": {**self.optimizer.defaults}},
                "criterion": _criterion(),
            },
            *(self.device, None, False, 1),
        )

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        target = batch["label"].to(self.device)
        loss: Tensor = self.box.forward_process(
            {m: batch[m].to(self.device) for m in (STUDENT, TEACHER)}, target, {}
        )
        return loss

    def _step(self, batch: Batch) -> None:
        self.box.post_forward_process(loss=self.loss(batch))


def measure_torchdistill(setting: Setting, limits: Limits) -> list[Row]:
    """Time a step of KD in each of the ways, in turn; no rows if torchdistill is not installed."""
    if find_spec(TORCHDISTILL) is None:
        return []
    data = SyntheticPairs(setting)
    data.setup("fit")
    network, teacher, loss = setting.network, setting.teacher(), KDLoss(TEMPERATURE)
    by_hand = HandLoop(data.train_dataloader(), network(), teacher, loss)
    module = DistillationModule(
        network(), {TEACHER: teacher}, loss, STUDENT, teacher_check_batches=0
    )
    theirs = TorchdistillLoop(data, network(), teacher)
    steps = setting.steps
    timings = interleave(
        {
            BY_HAND: partial(by_hand, steps),
            MODULE: partial(fit_seconds, module, data, steps),
            TORCHDISTILL: partial(theirs, steps),
        },
        limits,
    )
    return timed_rows(TORCHDISTILL, setting.name, timings, {MODULE: BY_HAND, TORCHDISTILL: BY_HAND})


def _forward(modality: str, model: nn.Module, batch: Batch, *_: Any, **__: Any) -> Output:
    output: Output = model(batch[modality])
    return output


def _hook() -> dict[str, Any]:
    return {"forward_hook": {"input": [], "output": ["net.fc"]}}


def _criterion() -> dict[str, Any]:
    logits = {"student_module_path": "net.fc", "student_module_io": "output"}
    logits |= {"teacher_module_path": "net.fc", "teacher_module_io": "output"}
    # Their alpha weights the cross-entropy.
    weights = {"temperature": TEMPERATURE, "alpha": 1.0, "beta": 1.0}
    term = {"criterion": {"key": "KDLoss", "kwargs": logits | weights}, "weight": 1.0}
    return {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": term}}}


CASE = Case(
    TORCHDISTILL,
    "A whole training step of KD, which torchdistill can express: with it, by hand, and with the "
    "module. Without torchdistill (pip install torchdistill) there are no rows.",
    tuple(partial(measure_torchdistill, setting) for setting in (RESNET_18, SMALL)),
)
