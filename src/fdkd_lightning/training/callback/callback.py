"""Distillation inside an existing LightningModule."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.tasks.of_loss import task_of
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.averaging import renew_copies
from fdkd_lightning.training.cache.use import use_caches
from fdkd_lightning.training.callback.batch_keys import BatchInputs, BatchKey, entry
from fdkd_lightning.training.callback.host import Host
from fdkd_lightning.training.callback.host_check import (
    check_arguments,
    check_signature,
    check_strategy,
    check_target_key,
)
from fdkd_lightning.training.callback.host_optimizer import HostOptimizers
from fdkd_lightning.training.callback.host_step import HostStep
from fdkd_lightning.training.callback.run_callback import RunCallback
from fdkd_lightning.training.callback.saved_parts import load_parts, parts_state
from fdkd_lightning.training.distillation_step import DistillationStep
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.probe import example_batch
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teacher_check import check_teachers, is_readable, live_scores
from fdkd_lightning.training.teacher_weights import TeacherWeights
from fdkd_lightning.training.teachers import FrozenTeachers, check_apart


class DistillationCallback(RunCallback):
    r"""Distil frozen teachers into the network of any LightningModule, without changing its code.

    The criterion's terms, between the outputs of the teachers and the features and logits of layers
    of the module, are added to the loss of its ``training_step``. With the same networks, data,
    criterion and seed the result is bitwise that of :class:`~fdkd_lightning.DistillationModule`.

    The module's checkpoint remains its own: it contains neither the teachers nor the criterion's
    parts or their optimizer states, and can be loaded, resumed and used without this callback.
    (``BaseFinetuning`` is the exception: it saves the names of all trained parameters.) What a
    resumed run needs is in the callback's own state. After fit, or an exception, the module is as
    it was. Validation, test and prediction use the module alone. A second fit continues with
    the trained parts: create a new callback for another fold or another module.

    ``training_step`` must run the student on all samples of the batch, in their order; of several
    runs the last with a gradient counts. (Else the teacher's outputs are of other samples.) All
    samples must have all modalities. Supported are automatic and manual optimization, gradient
    accumulation, mixed precision, one device or DDP, ``configure_model`` and ``torch.compile``.

    Logs each term as ``distillation/<term>``.

    Args:
        teachers: Modality -> network that returns :class:`~fdkd_lightning.Output`, such as a
            ``FeatureModel``; frozen here. ``{}`` is the teacher-free control.
        criterion: Loss between the outputs of the student and of one teacher.
        student: Layers of the module that give features and logits; None: input and output of its
            last linear layer.
        target: Key of the labels in the batch, [N] int64, -100 where there is none, or as
            ``task_loss`` has them; None: the batch has none, or others.
        student_input: Key of the input of the module's ``forward``. With it, parts whose sizes the
            arguments leave out are sized by an example batch; None: all sizes are given.
        teacher_inputs: Modality -> key of that teacher's input; default: the modality itself.
        index: Key of the samples' ids, [N] int64, for CRD and cached teachers (there ``"index"``).
        projector: Maps the student's features before the criterion; see
            :class:`~fdkd_lightning.DistillationModule`.
        optimizer: Which of several optimizers trains the criterion's parts, in its first group, if
            none gets ``self.parameters()``, which includes them.
        backward: Which ``manual_backward`` of a step, from 0, gets the terms; None: the student's.
        teacher_check_batches: As in :class:`~fdkd_lightning.DistillationModule`; None: 50, if the
            validation data can be read twice and have labels and the teachers' inputs.
        teacher_weights: Weights of the average over several teachers; None: equal weights.
        task_weight: Weight of the module's own loss; None leaves it out.
        task_loss: What the module's outputs and labels mean; see ``UnimodalModule``. Shared
            heads learn with it. None: one class per sample; without ``target``: unknown.

    Raises:
        TypeError: If an argument, or the labels of the first batch, have another type.
        ValueError: If the module or its trainer cannot be wrapped, a layer does not exist, parts
            have no size, or on the first batch a label is not a class or an output not finite.
        KeyError: If the batch lacks an entry.
        RuntimeError: If a step or an epoch passes without a gradient for the student.

    Example:
        >>> from fdkd_lightning import FDKDLoss, FrequencyDecoupler, ResNet, SharedAlignmentHead
        >>> callback = DistillationCallback(
        ...     teachers={"audio": ResNet(10, in_chans=1)},
        ...     criterion=FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead()),
        ...     student=Layers(features="fc:input", logits="fc"),
        ...     student_input="image",
        ... )
        >>> trainer = Trainer(callbacks=[callback], logger=False)
    """

    def __init__(
        self,
        teachers: Mapping[str, nn.Module],
        criterion: DistillationLoss,
        student: Layers | None = None,
        target: BatchKey | None = "label",
        student_input: BatchKey | None = None,
        teacher_inputs: Mapping[str, BatchKey] | None = None,
        index: BatchKey | None = None,
        projector: Projector | None = None,
        optimizer: int | None = None,
        backward: int | None = None,
        teacher_check_batches: int | None = None,
        teacher_weights: TeacherWeights | None = None,
        task_weight: float | None = 1.0,
        task_loss: nn.Module | None = None,
    ) -> None:
        check_arguments(teachers, student, task_weight)
        check_target_key(target, teacher_check_batches, task_loss, criterion)
        super().__init__()
        self.teachers = FrozenTeachers(teachers)
        task = task_of(task_loss)
        self.distiller = Distiller(criterion, teachers, projector, teacher_weights, task)
        self.student = student or Layers()
        self.student_input = student_input
        self.teacher_check_batches = teacher_check_batches
        self.inputs = BatchInputs(teachers, teacher_inputs or {}, target, index, task)
        self.distillation_step = DistillationStep(self.teachers, self.distiller, self.watch)
        self._step_options = self.inputs, backward, task_weight, self.live_values
        self._optimizers = HostOptimizers(self.distiller, optimizer)
        # During fit:
        self._host: Host | None = None
        self._host_step: HostStep | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wrap the module once it has all its layers, and before optimizers and DDP exist."""
        if stage != "fit":
            return
        self._unwrap()
        check_strategy(trainer)
        self.distillation_step.restart()
        self.watch.restart()
        self._optimizers.restart()
        host = self._host = Host(pl_module)
        host.replace(host.last_setup_hook(), functools.partial(self._after_setup, host, trainer))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the module."""
        self._unwrap()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: Any) -> None:
        """Restore the module."""
        self._unwrap()

    def state_dict(self) -> dict[str, Any]:
        """Return the distiller's shapes and state, and the optimizers' states of its parameters."""
        parts = parts_state(self.distiller, self._averaged_parts())
        return {**parts, "optimizers": self._optimizers.states()}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the module's weights, and move the teachers to the student's device."""
        super().on_fit_start(trainer, pl_module)
        assert self._host is not None
        self._host.follow()
        self.teachers.join(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the criterion's epoch, and measure the teachers."""
        self.distiller.start(trainer.current_epoch, trainer.max_epochs)
        batches, args = self.teacher_check_batches, (self.inputs.read, self.inputs.task)
        if batches is None:
            has_labels = self.inputs.target is not None
            batches = 50 if has_labels and is_readable(trainer, *args) else 0
        scores = check_teachers(self.teachers, trainer, pl_module.device, batches, *args)
        self.live_values |= live_scores(scores)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the criterion's epoch."""
        assert self._host_step is not None
        self.distillation_step.set_epoch(trainer.current_epoch)
        self._host_step.start_epoch()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise if training has diverged, or no step of the epoch taught the student."""
        super().on_train_epoch_end(trainer, pl_module)
        assert self._host_step is not None
        if trainer.num_training_batches:
            self._host_step.check_epoch()

    def _after_setup(
        self, host: Host, trainer: Trainer, original: Callable[..., None], *args: Any, **kwargs: Any
    ) -> None:
        original(*args, **kwargs)
        # A module may call its configure_model itself, too.
        if not host.is_read:
            self._wrap(host, trainer)

    def _wrap(self, host: Host, trainer: Trainer) -> None:
        module = host.module
        check_signature(module)
        check_apart(module, self.teachers)
        use_caches(self.teachers, None, trainer, self.inputs.task)
        host.read(self.student)
        if self.student.features is None:
            rank_zero_info(f"the student's classifier is layer {host.features_layer!r}")
        self._build(host, trainer)
        # A module may come in another dtype.
        self.distiller.to(next(module.parameters()).dtype)
        host.add(self.distiller)
        step = self._host_step = HostStep(host, self.distillation_step, *self._step_options)
        host.replace("training_step", step.training_step)
        if not module.automatic_optimization:
            host.replace("manual_backward", step.manual_backward)
        host.replace("configure_optimizers", self._optimizers.configure)
        renew_copies(trainer, module)
        # Of the module and not of the callback, which a tuner removes before it loads.
        host.replace("on_load_checkpoint", self._on_load_checkpoint)

    def _build(self, host: Host, trainer: Trainer) -> None:
        if self.student_input is not None:
            batch = example_batch(trainer)
            student = host.probe(entry(batch, self.student_input, "student_input"))
            self.distillation_step.build(student, self.inputs.teacher_inputs(batch))
        if not self.distiller.is_sized():
            raise ValueError(
                f"parts of {type(self.distiller.criterion).__name__} or a projector have no size "
                "yet: name the input of the module's forward, such as student_input='image' (or "
                "0), or give sizes, such as SharedAlignmentHead(512, 10)"
            )

    def _averaged_parts(self) -> list[nn.Module]:
        return [] if self._host is None else self._host.averaged_parts()

    def _unwrap(self) -> None:
        self._host_step = None
        self._optimizers.remove()
        if self._host is not None:
            self._host.restore()
            self._host = None
            # As Lightning does with the module.
            self.distiller.cpu()
            self.teachers.to(torch.device("cpu"))

    def _on_load_checkpoint(
        self, original: Callable[..., None], checkpoint: dict[str, Any]
    ) -> None:
        original(checkpoint)
        state = checkpoint.get("callbacks", {}).get(self.state_key, {})
        self._optimizers.resume(state.get("optimizers", []))
        load_parts(state, self.distiller, self._averaged_parts())
