"""Distillation inside somebody else's LightningModule."""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import move_data_to_device, rank_zero_info
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.callback.batch_keys import BatchKey, entry
from fdkd_lightning.training.callback.host import Host, check_averaging, check_strategy
from fdkd_lightning.training.callback.host_optimizer import (
    HiddenStates,
    States,
    join_parameters,
    optimizers_of,
)
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.missing_modality import zero_gradient_term
from fdkd_lightning.training.probe import example_batch, probe
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.step import DistillationStep
from fdkd_lightning.training.teacher_check import check_teachers
from fdkd_lightning.training.teacher_weights import TeacherWeights
from fdkd_lightning.training.teachers import FrozenTeachers, check_apart


class DistillationCallback(Callback):
    r"""Frozen teachers teach the network of any LightningModule, whose code stays as it is.

    To the loss of its ``training_step`` the criterion's terms are added, between the features and
    logits that layers of it give there and the outputs of the teachers. What
    :class:`~fdkd_lightning.DistillationModule` does with the same networks, data, criterion and
    seed, this does bitwise.

    The host keeps its checkpoint to itself: neither teachers nor the criterion's parts are in its
    ``state_dict`` or its optimizers' states, so that it is loaded, resumed and used without this
    callback (but where ``BaseFinetuning`` writes down the names of all that is trained); what a
    resumed run needs is in the callback's own state. After fit, or an exception, nothing of it is
    left in the host. In validation, test and prediction it does nothing. Used in another fit, it
    goes on with the parts as they are: make a new one for another fold or another host.

    The step must run the student on the batch's samples, all of them and in their order; of several
    runs the last with a gradient counts. (Mixed or shuffled inputs would meet the teacher's output
    for others.) It works with automatic and manual optimization, accumulated gradients, mixed
    precision, one device or DDP, ``configure_model`` and ``torch.compile``. Of several calls of
    ``manual_backward`` in a step, the first whose loss comes from the student gets the terms. All
    samples need all modalities.

    Logs each term as ``distillation/<term>``.

    Args:
        teachers: Modality -> network that returns :class:`~fdkd_lightning.Output`, such as a
            ``FeatureModel``; frozen here. ``{}`` is the teacher-free control.
        criterion: What the student learns from a teacher.
        student: Layers of the host that give features and logits; None: input and output of its
            last linear layer.
        target: Where the batch has the labels, [N] int64, -100 where there is none; None: it has
            no labels, or others than one class per sample.
        student_input: Where it has what the host's ``forward`` takes. With it, and an example
            batch, parts whose sizes the arguments leave out are sized; None: none are left out.
        teacher_inputs: Modality -> where the batch has that teacher's input; a modality that is
            not named is the key itself.
        index: Where it has the samples' ids, [N] int64, for criteria that remember samples (CRD).
        projector: As in :class:`~fdkd_lightning.DistillationModule`.
        optimizer: Which of several optimizers trains the criterion's parts, where none is given
            ``self.parameters()``: in its first group, at that group's rate and weight decay.
        backward: Which ``manual_backward`` of a step gets the terms, counted from 0; None: as
            above.
        teacher_check_batches: Over how many validation batches each teacher's accuracy is
            measured when fit begins, with a warning near chance; they must hold its input.
        teacher_weights: As in :class:`~fdkd_lightning.DistillationModule`.

    Raises:
        ValueError: If a layer does not exist, a teacher shares weights with the host, parts have
            no size, optimizers cannot take them, or the trainer's strategy splits the host; on the
            first batch, if a label is not a class or outputs are not finite.
        KeyError: If the batch lacks an entry.

    Example:
        >>> from fdkd_lightning import FDKDLoss, FrequencyDecoupler, ResNet, SharedAlignmentHead
        >>> callback = DistillationCallback(
        ...     teachers={"audio": ResNet(10, in_chans=1)},
        ...     criterion=FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead()),
        ...     student=Layers(features="fc:input", logits="fc"),
        ...     student_input="image",
        ... )
        >>> trainer = Trainer(callbacks=[callback], logger=False, enable_checkpointing=False)
    """

    def __init__(
        self,
        teachers: dict[str, nn.Module],
        criterion: DistillationLoss,
        student: Layers | None = None,
        target: BatchKey | None = "label",
        student_input: BatchKey | None = None,
        teacher_inputs: dict[str, BatchKey] | None = None,
        index: BatchKey | None = None,
        projector: Projector | None = None,
        optimizer: int | None = None,
        backward: int | None = None,
        teacher_check_batches: int = 0,
        teacher_weights: TeacherWeights | None = None,
    ) -> None:
        if not isinstance(teachers, dict):
            kind = type(teachers).__name__
            raise TypeError(f"teachers is a {kind}: give a dict, such as {{'audio': {kind}(...)}}")
        if not isinstance(student, Layers | None):
            raise TypeError(f"student={student!r} must be Layers, such as Layers('fc:input', 'fc')")
        if target is None and teacher_check_batches:
            raise ValueError(
                f"teacher_check_batches={teacher_check_batches} measures the teachers by labels, "
                "and target=None says that there are none: leave one of them out"
            )
        self.teachers = FrozenTeachers(teachers)
        self.distiller = Distiller(criterion, teachers, projector, teacher_weights)
        inputs = teacher_inputs or {}
        self._teaching = DistillationStep(self.teachers, self.distiller, inputs, target, index)
        self.student = student or Layers()
        self.student_input = student_input
        self.optimizer = optimizer
        self.backward = backward
        self.teacher_check_batches = teacher_check_batches
        self._host: Host | None = None
        self._hidden: HiddenStates | None = None
        self._left: States = []
        self._step: _Step | None = None
        self._resumed: States = []
        self._taught = False

    # The host is changed once it has all its layers, and before optimizers and DDP exist.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait for the host's own setup."""
        if stage != "fit":
            return
        self._leave()
        check_strategy(trainer)
        self._teaching.is_checked = False
        self._left, self._resumed = [], []
        host = self._host = Host(pl_module)
        host.replace(host.last_of_setup(), functools.partial(self._after_setup, host, trainer))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the host as it was."""
        self._leave()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the host as it was."""
        self._leave()

    def state_dict(self) -> dict[str, Any]:
        """What is trained beside the student, its optimizers' states, and what sized it."""
        return {
            "shapes": self.distiller.shapes,
            "distiller": self.distiller.state_dict(),
            "optimizers": self._left if self._hidden is None else self._hidden.states(),
        }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the teachers to the device."""
        assert self._host is not None
        self._host.follow()
        self.teachers.join(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the criterion where training starts, and measure the teachers."""
        self.distiller.start(trainer.current_epoch, trainer.max_epochs)
        batches = self.teacher_check_batches
        check_teachers(self.teachers, trainer, pl_module.device, batches, self._teaching.read)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the criterion the epoch."""
        self.distiller.criterion.set_epoch(trainer.current_epoch)
        self._taught = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See that the student was taught."""
        if not self._taught and trainer.num_training_batches:
            raise RuntimeError(
                f"in a whole epoch no loss of {type(pl_module).__name__} came from layer "
                f"{self._layer()!r} with a gradient, so that nothing was taught: name a layer of "
                "the student, Layers(features=...), that is trained"
            )

    def _after_setup(
        self, host: Host, trainer: Trainer, own: Callable[..., None], *args: Any, **kwargs: Any
    ) -> None:
        own(*args, **kwargs)
        # The host itself may call its configure_model again.
        if host.is_read:
            return
        module = host.module
        if is_param_in_hook_signature(module.training_step, "dataloader_iter", explicit=True):
            raise ValueError(
                f"{type(module).__name__}.training_step takes dataloader_iter, so that nobody else "
                "sees its batches: let it take (batch, batch_idx)"
            )
        check_averaging(trainer, module)
        check_apart(module, self.teachers)
        self.teachers.load()
        host.read(self.student)
        if self.student.features is None:
            rank_zero_info(f"the student's classifier is layer {self._layer()!r}")
        if self.student_input is not None:
            self._build(host, trainer)
        self._teaching.check_sizes()
        # A host may have been left in another type.
        self.distiller.to(next(module.parameters()).dtype)
        host.add(self.distiller)
        host.replace("training_step", functools.partial(self._training_step, host))
        host.replace("configure_optimizers", self._configure_optimizers)
        host.replace("on_load_checkpoint", self._on_load_checkpoint)
        if not module.automatic_optimization:
            host.replace("manual_backward", functools.partial(self._manual_backward, host))

    def _leave(self) -> None:
        self._step = None
        if self._hidden is not None:
            # A checkpoint that is saved after fit has them, too.
            cpu = torch.device("cpu")
            self._left = move_data_to_device(self._hidden.states(), cpu)
            self._hidden.remove()
            self._hidden = None
        if self._host is not None:
            self._host.leave()
            self._host = None
            # As Lightning does with the host.
            self.distiller.cpu()
            self.teachers.to(torch.device("cpu"))

    def _layer(self) -> str:
        assert self._host is not None
        return self._host.reader.features.spot.name

    # Of the host and not of the callback, which a tuner takes away before it loads.
    def _on_load_checkpoint(self, own: Callable[..., None], checkpoint: dict[str, Any]) -> None:
        own(checkpoint)
        state = checkpoint.get("callbacks", {}).get(self.state_key, {})
        self._resumed = state.get("optimizers", [])
        if self._hidden is not None:
            self._hidden.keep(self._resumed)
        if "distiller" not in state:
            return
        try:
            self.distiller.load_state_dict(state["distiller"])
        except RuntimeError as error:
            raise ValueError(
                "the checkpoint was written with another criterion, projector or teachers in its "
                "DistillationCallback: resume with the same, or load the module's weights alone "
                f"(load_from_checkpoint) and begin anew; {error}"
            ) from error

    def _build(self, host: Host, trainer: Trainer) -> None:
        batch = example_batch(trainer)
        assert self.student_input is not None
        x = entry(batch, self.student_input, "student_input")
        takes = inspect.signature(host.module.forward)
        try:
            takes.bind(*(x if isinstance(x, tuple) else (x,)))
        except TypeError as error:
            raise ValueError(
                f"{type(host.module).__name__}.forward does not take student_input ({error}): let "
                "it give all arguments, as a tuple"
            ) from error
        try:
            student = probe(host.as_model(), x)
        except NotImplementedError as error:  # torch's, of a module without a forward
            raise ValueError(
                f"{type(host.module).__name__} has no forward that takes student_input: leave it "
                "out, and give the sizes of the criterion's parts, such as "
                "SharedAlignmentHead(512, 10)"
            ) from error
        self._teaching.build(student, batch)

    # Each step.

    def _training_step(self, host: Host, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        step = self._step = _Step(args[0] if args else next(iter(kwargs.values())))
        with host.reader.reading():
            result = own(*args, **kwargs)
        self._step = None
        if not host.module.automatic_optimization:
            self._check_step(host, step)
        elif isinstance(result, Tensor):
            result = self._added(host, result, step.batch)
        elif isinstance(result, Mapping) and "loss" in result:
            result = {**result, "loss": self._added(host, result["loss"], step.batch)}
        # Else it skips the batch, or Lightning says what is wrong with it.
        host.reader.forget()
        return result

    def _manual_backward(
        self, host: Host, own: Callable[..., Any], loss: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        step = self._step
        if step is not None:
            number, step.backwards = step.backwards, step.backwards + 1
            if not step.taken and self._takes(host, loss, number):
                step.taken = True
                loss = self._added(host, loss, step.batch)
        return own(loss, *args, **kwargs)

    def _takes(self, host: Host, loss: Tensor, number: int) -> bool:
        """Whether the terms belong to this call of manual_backward."""
        if self.backward is not None:
            return number == self.backward and host.reader.has_gradient()
        # With one optimizer each call's gradient counts; of several one may be erased.
        optimizers = [] if self._hidden is None else self._hidden.optimizers
        return host.reader.is_in(loss) if len(optimizers) > 1 else host.reader.has_gradient()

    def _check_step(self, host: Host, step: "_Step") -> None:
        # With several optimizers a step may be another network's alone.
        lost = self.backward is not None or not step.backwards
        if lost and not step.taken and host.reader.has_gradient():
            raise RuntimeError(
                f"{type(host.module).__name__} optimizes by hand, and no manual_backward of "
                f"this step's {step.backwards} could take the terms: let it call "
                "self.manual_backward(loss), not loss.backward(), after its network ran, and "
                f"let backward={self.backward} be None or the number of that call"
            )

    def _configure_optimizers(self, own: Callable[..., Any]) -> Any:
        configured = own()
        parameters = [p for p in self.distiller.parameters() if p.requires_grad]
        optimizers = optimizers_of(configured)
        if self._hidden is not None:
            self._hidden.remove()
        join_parameters(optimizers, parameters, self.optimizer)
        self._hidden = HiddenStates(optimizers, parameters)
        self._hidden.keep(self._resumed)
        return configured

    def _added(self, host: Host, loss: Tensor, batch: Any) -> Tensor:
        """The loss with the criterion's terms, and these logged."""
        self._taught |= host.reader.has_gradient()
        student = host.reader.take()
        terms, record = self._teaching.terms(student, batch), self.distiller.logged_values()
        summands = [loss, *terms.values()]
        if self.distiller.projector is not None:
            # A criterion of the predictions alone leaves it out, and DDP waits for its gradient.
            summands.append(zero_gradient_term(self.distiller.projector))
        host.module.log_dict(
            {f"distillation/{name}": x.detach() for name, x in {**terms, **record}.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(student.features),
        )
        total: Tensor = functools.reduce(operator.add, summands)
        return total


class _Step:
    """How far a training step is."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch
        self.backwards = 0
        self.taken = False
