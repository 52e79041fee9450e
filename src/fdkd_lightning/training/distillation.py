"""A student of one modality learns from frozen teachers of others."""

import functools
import operator
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.missing_modality import samples_with, zero_gradient_term
from fdkd_lightning.training.pairs import make_pairs
from fdkd_lightning.training.probe import example_batch, modality_input, probe
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.published_optimizer import published_sgd
from fdkd_lightning.training.teacher_check import check_teachers
from fdkd_lightning.training.teacher_weights import TeacherWeights
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers, check_apart
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Batch, Output


class DistillationModule(UnimodalModule):
    """A student, frozen teachers of other modalities, and what passes between them.

    Each step adds the criterion's terms (averaged over the teachers) to the task's cross-entropy.
    Validation, test and predict run the student alone, and so does everything after training: the
    checkpoint holds no teacher (unless it is trained too), and needs none.

    A sample may lack a modality (``batch["present"]``). Without a teacher's it has its full part in
    the cross-entropy, and none in what that teacher teaches: teacher and criterion see the others
    alone, and the terms are means over these, few as they may be. Where fewer than two are left,
    that teacher teaches nothing; its share of the average is then zero, and that of the other
    teachers as ever. Without the student's modality a sample takes no part at all, as in
    :class:`UnimodalModule`. Under DDP "the others" are those of all processes (see
    :func:`~fdkd_lightning.training.pairs.make_pairs`), which costs the criterion's time for as many
    samples, and two processes learn what one would from both batches.

    Logs what :class:`UnimodalModule` does, each term under its name (``train/task``,
    ``train/low``, ...), what the criterion learns and has to show (``train/threshold``) and, once,
    each teacher's accuracy on the validation data (``teacher/audio/accuracy``).

    Args:
        student: The network that is trained; a ``PretrainedModel`` starts from weights.
        teachers: Modality -> network, frozen here. ``{}`` is the teacher-free control: the
            criterion's terms that need no teacher stay.
        criterion: What the student learns from a teacher.
        student_modality: The key of the student's input in the batch.
        metrics: As in :class:`UnimodalModule`.
        task_weight: Weight of the task's cross-entropy; None leaves it out.
        projector: Maps the student's features before the criterion, where their width, grid or
            rank is not the teacher's; it is trained, and unused after training.
        optimizer: As in :class:`UnimodalModule`; it gets the student, criterion and projector.
        lr_scheduler: As in :class:`UnimodalModule`.
        teacher_check_batches: Over how many validation batches each teacher's accuracy is
            measured when fit begins, with a warning near chance; 0 does not.
        train_teachers: Train the teachers too, from the weights they have, with what gradients
            the criterion lets through to them (C2KD's published form). They are then optimised
            and in the checkpoint; what is evaluated remains the student alone.
        teacher_weights: How several teachers are averaged; None: all alike. What it learns is
            trained along, and logged as ``train/weight/audio``.

    Raises:
        ValueError: If a teacher shares weights with the student, several meet a criterion for
            one or weights for others, features do not fit without a projector, ``train_teachers``
            meets a criterion that teaches them nothing, or on the first batch as in
            :class:`UnimodalModule`.

    Reference:
        FD-CMKD (arXiv 2511.19887).

    Example:
        >>> from fdkd_lightning import FDKDLoss, FrequencyDecoupler, SharedAlignmentHead
        >>> from fdkd_lightning.models import ResNet
        >>> module = DistillationModule(
        ...     student=ResNet(10, in_chans=3),
        ...     teachers={"audio": ResNet(10, in_chans=1)},
        ...     criterion=FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead()),
        ...     student_modality="visual",
        ... )
        >>> any("teacher" in name for name in module.state_dict())
        False
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: dict[str, nn.Module],
        criterion: DistillationLoss,
        student_modality: str,
        metrics: dict[str, Metric] | None = None,
        task_weight: float | None = 1.0,
        projector: Projector | None = None,
        optimizer: OptimizerCallable = published_sgd,
        lr_scheduler: LRSchedulerCallable | None = None,
        teacher_check_batches: int = 50,
        train_teachers: bool = False,
        teacher_weights: TeacherWeights | None = None,
    ) -> None:
        super().__init__(student, student_modality, metrics, optimizer, lr_scheduler)
        check_apart(student, teachers)
        self.teachers = (TrainedTeachers if train_teachers else FrozenTeachers)(teachers)
        self.distiller = Distiller(criterion, teachers, projector, teacher_weights)
        self.task_weight = task_weight
        self.teacher_check_batches = teacher_check_batches
        self._all_taught = True

    def setup(self, stage: str) -> None:
        """Read pretrained weights when fit begins, and build what the config left out."""
        super().setup(stage)
        if stage != "fit":
            return
        self.teachers.load()
        batch = example_batch(self.trainer)
        student = probe(self.model, modality_input(batch, self.modality))
        outputs = {
            modality: probe(teacher, modality_input(batch, modality))
            for modality, teacher in self.teachers.items()
        }
        self.distiller.build(student, outputs)

    @property
    def criterion(self) -> DistillationLoss:
        """What the student learns from a teacher."""
        return self.distiller.criterion

    def heads(self, output: Output) -> dict[str, Tensor]:
        """Logits of the classifiers that the criterion trains beside the student's own."""
        return self.distiller.heads(output)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what projector and criterion were sized by."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["probed_shapes"] = self.distiller.shapes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Size projector and criterion as they were, where no data was probed."""
        super().on_load_checkpoint(checkpoint)
        shapes = checkpoint.get("probed_shapes")
        if self.distiller.shapes is None and shapes is not None:
            self.distiller.build_as(shapes)

    def on_fit_start(self) -> None:
        """Bring the teachers to the student's device."""
        if isinstance(self.teachers, FrozenTeachers):
            self.teachers.join(self.trainer, self)

    def teardown(self, stage: str) -> None:
        """Take the teachers off the device, as Lightning does with the module."""
        if isinstance(self.teachers, FrozenTeachers):
            self.teachers.to(torch.device("cpu"))

    def on_train_start(self) -> None:
        """Measure the teachers, then take up a resumed run's random generators and epoch."""
        self.distiller.start(self.current_epoch, self.trainer.max_epochs)
        batches = self.teacher_check_batches
        check_teachers(self.teachers, self.trainer, self.device, batches, lambda batch: batch)
        super().on_train_start()

    def on_after_backward(self) -> None:
        """See once that teachers which are to be trained get something to learn."""
        if not isinstance(self.teachers, TrainedTeachers) or not self._all_taught:
            return
        if not self._is_first("teachers"):
            return
        gradients = [p.grad for p in self.teachers.parameters()]
        if gradients and all(gradient is None for gradient in gradients):
            raise ValueError(
                f"train_teachers=True, but no gradient of {type(self.criterion).__name__} reaches "
                "the teachers: leave it out, or use a criterion that trains them, such as "
                "MutualLoss or C2KDLoss(train_teacher=True)"
            )

    def on_train_epoch_start(self) -> None:
        """Tell the criterion the epoch."""
        self.criterion.set_epoch(self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Task loss and the criterion's terms."""
        own = samples_with(batch, self.modality)
        student = self._learn(own, batch)
        seen = {} if student is None else self.teachers(own)
        roles = {f"{modality} teacher": output for modality, output in seen.items()}
        self._check_first_batch(own, student, roles)
        terms: dict[str, Tensor] = {}
        if self.task_weight is not None:
            terms["task"] = self.task_weight * self._cross_entropy(student, own)
        teachers = {modality: seen.get(modality) for modality in self.teachers}
        pairs = make_pairs(student, teachers, own, len(batch["label"]))
        found = self.distiller(pairs)
        record = self.distiller.logged_values()
        taken = {"task", "loss"} & (found.keys() | record.keys()) | found.keys() & record.keys()
        if taken:
            raise ValueError(
                f"{type(self.criterion).__name__} names {', '.join(sorted(taken))} for a term or "
                "record, which is the module's own or names two things: give it another name"
            )
        terms |= found
        summands = [*terms.values()]
        self._all_taught = student is not None and None not in [*teachers.values(), *pairs]
        if not self._all_taught:
            # A network did not run here, or no criterion: it may have run in other processes.
            summands.append(zero_gradient_term(self))
        elif self.distiller.projector is not None:
            # A criterion of the predictions alone leaves it out, and DDP waits for its gradient.
            summands.append(zero_gradient_term(self.distiller.projector))
        # One after the other: a callback that adds the same terms gets the same sum bitwise.
        loss = functools.reduce(operator.add, summands)
        self._log_terms({"loss": loss, **terms, **record}, batch)
        return loss
