"""Distillation from teachers of other modalities into a student of one modality."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.models.dense_evaluation import DenseEvaluation
from fdkd_lightning.ops.checks import check_optional_weights
from fdkd_lightning.training.cache.settings import TeacherCache, cache_settings
from fdkd_lightning.training.cache.use import use_caches
from fdkd_lightning.training.distillation_step import DistillationStep
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.missing_modality import samples_with
from fdkd_lightning.training.probe import example_batch, modality_input, probe
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.published_optimizer import published_sgd
from fdkd_lightning.training.strategy_check import check_module_strategy
from fdkd_lightning.training.teacher_check import check_teachers, live_scores
from fdkd_lightning.training.teacher_weights import TeacherWeights
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers, check_apart
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Batch, Output


class DistillationModule(UnimodalModule):
    """Train a student of one modality with frozen teachers of other modalities.

    Each step adds the criterion's terms, averaged over the teachers, to the task loss.
    Validation, test and predict run the student alone. The checkpoint contains no teacher, unless
    it is trained too, and needs none after training.

    Samples may lack a modality (``batch["present"]``):

    - A sample without a teacher's modality counts fully in the task loss and is left out of
      that teacher's terms, which are means over the samples that have both modalities.
    - A teacher with fewer than two such samples contributes zero to the average over the teachers;
      the contributions of the other teachers do not change.
    - A sample without the student's modality is left out, as in :class:`UnimodalModule`.
    - Under DDP the samples of all ranks are counted (see
      :func:`~fdkd_lightning.training.pairs.make_pairs`): several ranks learn what one rank learns
      from all their batches. Each rank then evaluates the criterion on all of these samples.

    Logs what :class:`UnimodalModule` logs, each term (``train/task``, ``train/low``, ...), the
    criterion's logged values (``train/threshold``) and, once, the accuracy of each teacher on the
    validation set (``teacher/audio/accuracy``).

    Args:
        student: Network that is trained; a ``PretrainedModel`` starts from the weights of a file.
        teachers: Modality -> network, frozen here. ``{}`` is the teacher-free control, which keeps
            the criterion's terms that need no teacher.
        criterion: Loss between the outputs of the student and of one teacher.
        student_modality: Key of the student's input in the batch.
        metrics: Name -> torchmetrics metric; see :class:`UnimodalModule`.
        task_weight: Weight of the task loss; None leaves it out.
        projector: Maps the student's features before the criterion, where their width, grid or
            rank differs from the teacher's. It is trained, and not needed after training.
        optimizer: Makes the optimizer from the trainable parameters of student, criterion,
            projector and teacher weights; see :class:`UnimodalModule`.
        lr_scheduler: Makes the learning rate scheduler; see :class:`UnimodalModule`.
        teacher_check_batches: Number of validation batches on which each teacher is measured when
            fit begins, by its accuracy, with a warning near chance, or by the metrics of another
            task; 0 skips it.
        train_teachers: Train the teachers too, with the gradients that the criterion gives them
            (the published form of C2KD). They are then optimised and saved in the checkpoint;
            evaluation still runs the student alone.
        teacher_weights: Weights of the average over several teachers; None: equal weights. Learned
            weights are trained, and logged as ``train/weight/audio``.
        evaluation: As in :class:`UnimodalModule`: windows, scales and mirror images for
            segmentation.
        task_loss: Loss of the labels, and what they mean; see :class:`UnimodalModule`. The shared
            heads of :class:`~fdkd_lightning.FDKDLoss` learn with it too.
        teacher_cache: Run each teacher once: its outputs are stored in this folder, or read from
            it, and its modality is not loaded. A :class:`~fdkd_lightning.TeacherCache` says how.
            None: the teachers run in each step.

    Shape:
        - batch: as in :class:`UnimodalModule`, with the input of each teacher [N, ...]

    Raises:
        TypeError: If the student or a teacher is no network, or the criterion no
            ``DistillationLoss``.
        ValueError: If a teacher shares weights with the student, the criterion or the teacher
            weights do not allow these teachers or this task, features do not fit and there is no
            projector, ``train_teachers`` is set and no gradient reaches a teacher, the trainer's
            strategy is DeepSpeed's or ``ModelParallelStrategy``, or on the first batch as in
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
        teachers: Mapping[str, nn.Module],
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
        evaluation: DenseEvaluation | None = None,
        task_loss: nn.Module | None = None,
        teacher_cache: str | Path | TeacherCache | None = None,
    ) -> None:
        super().__init__(
            student, student_modality, metrics, optimizer, lr_scheduler, evaluation, task_loss
        )
        check_apart(student, teachers)
        self.teachers = (TrainedTeachers if train_teachers else FrozenTeachers)(teachers)
        self.distiller = Distiller(criterion, teachers, projector, teacher_weights, self.task)
        check_optional_weights(task_weight=task_weight)
        self.task_weight = task_weight
        self.teacher_check_batches = teacher_check_batches
        self.teacher_cache = cache_settings(teacher_cache, train_teachers)
        self.distillation_step = DistillationStep(
            self.teachers, self.distiller, self.watch, reserved_names=("task", "loss")
        )
        self._is_complete = True

    def setup(self, stage: str) -> None:
        """Read frozen teachers and size the distiller's parts when fit begins."""
        # A checkpoint brings no weights of frozen teachers; it may bring those of trained ones.
        if stage == "fit" and isinstance(self.teachers, FrozenTeachers):
            use_caches(self.teachers, self.teacher_cache, self.trainer, self.task, {self.modality})
        elif stage == "fit" and not self.reads_late():
            self.teachers.load()
        super().setup(stage)

    @property
    def criterion(self) -> DistillationLoss:
        """The loss between the outputs of the student and of one teacher."""
        return self.distiller.criterion

    def heads(self, output: Output) -> dict[str, Tensor]:
        """Return the logits of the classifiers that the criterion trains, by name.

        Shape:
            - each output: [N, K] or [N, K, H, W]
        """
        return self.distiller.heads(output)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the shapes from which projector and criterion were sized."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["probed_shapes"] = self.distiller.shapes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Size projector and criterion by the saved shapes, unless they are sized already."""
        super().on_load_checkpoint(checkpoint)
        shapes = checkpoint.get("probed_shapes")
        if self.distiller.shapes is None and shapes is not None:
            self.distiller.build_from_shapes(shapes)

    def on_fit_start(self) -> None:
        """Read the weights, and move frozen teachers to the student's device."""
        self.teachers.load()
        super().on_fit_start()
        if isinstance(self.teachers, FrozenTeachers):
            self.teachers.join(self.trainer, self)

    def teardown(self, stage: str) -> None:
        """Move frozen teachers to the CPU, as Lightning does with the module."""
        if isinstance(self.teachers, FrozenTeachers):
            self.teachers.to(torch.device("cpu"))

    def on_train_start(self) -> None:
        """Measure the teachers, then restore the random generators and epoch of a resumed run."""
        self.distiller.start(self.current_epoch, self.trainer.max_epochs)
        batches = self.teacher_check_batches
        scores = check_teachers(
            self.teachers, self.trainer, self.device, batches, lambda batch: batch, self.task
        )
        self.live_values |= live_scores(scores)
        super().on_train_start()

    def on_after_backward(self) -> None:
        """Raise if the first complete step gives teachers that are to be trained no gradient."""
        if not isinstance(self.teachers, TrainedTeachers) or not self._is_complete:
            return
        if not self._is_first("teachers"):
            return
        # Of some parameters FSDP gives this rank no element, and no gradient.
        gradients = [p.grad for p in self.teachers.parameters() if p.numel()]
        if gradients and all(gradient is None for gradient in gradients):
            raise ValueError(
                f"train_teachers=True, but no gradient of {type(self.criterion).__name__} reaches "
                "the teachers: leave it out, or use a criterion that trains them, such as "
                "MutualLoss or C2KDLoss(train_teacher=True)"
            )

    def on_train_epoch_start(self) -> None:
        """Set the criterion's epoch."""
        self.distillation_step.set_epoch(self.current_epoch)
        self.distillation_step.taught.start_epoch()

    def on_train_epoch_end(self) -> None:
        """Raise if training has diverged, or no step of the epoch taught the student."""
        super().on_train_epoch_end()
        self.distillation_step.taught.check_epoch(
            type(self).__name__, "the student's outputs", has_teachers=len(self.teachers) > 0
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of the task loss and the criterion's terms."""
        samples = samples_with(batch, self.modality)
        student = self._learn(samples, batch)
        if student is not None:
            self._check_first_batch(samples, student)
            self.watch.note_output(f"{self.modality} student", student)
        task: dict[str, Tensor] = {}
        if self.task_weight is not None:
            task["task"] = self.task_weight * self._task_loss(student, samples)
            self.watch.note("the task loss", task["task"])
        size = len(batch["label"])
        result = self.distillation_step(self, task.get("task"), student, samples, size)
        self._is_complete = result.is_complete
        self._log_terms({"loss": result.loss, **task, **result.logged}, batch)
        return result.loss

    def _size_parts(self) -> None:
        self.distillation_step.restart()
        batch = example_batch(self.trainer)
        trained = self.teachers if isinstance(self.teachers, TrainedTeachers) else ()
        check_module_strategy(self.trainer, batch, {self.modality, *trained})
        student = probe(self.model, modality_input(batch, self.modality))
        self.distillation_step.build(student, batch)
