"""The training step of the wrapped LightningModule, with the criterion's terms in its loss."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.training.callback.batch_keys import BatchInputs
from fdkd_lightning.training.callback.host import Host
from fdkd_lightning.training.distillation_step import DistillationStep
from fdkd_lightning.training.probe import check_output


class HostStep:
    """Add the criterion's terms to the loss of the wrapped module's ``training_step``.

    With manual optimization they are added in ``manual_backward`` instead.

    Args:
        host: The wrapped LightningModule, whose layers are read.
        step: The teachers and the criterion.
        inputs: Where a batch holds their inputs.
        backward: Which call of ``manual_backward`` in a step gets the terms, counted from 0; None:
            the first whose loss comes from the student.
        task_weight: Weight of the module's own loss; None leaves it out.
        live_values: Gets the terms of each step, by name.

    Raises:
        KeyError: If the batch lacks an entry.
        ValueError: If the student's samples are not those of the batch, or in the first batch a
            label is not a class or an output is not finite.
        RuntimeError: If a step with manual optimization has no backward that can take the terms, or
            no step of an epoch gives the student a gradient.
    """

    def __init__(
        self,
        host: Host,
        step: DistillationStep,
        inputs: BatchInputs,
        backward: int | None,
        task_weight: float | None = 1.0,
        live_values: dict[str, Tensor | float] | None = None,
    ) -> None:
        self.host = host
        self.step = step
        self.inputs = inputs
        self.backward = backward
        self.task_weight = task_weight
        self.live_values = {} if live_values is None else live_values
        self._has_added = False
        self._is_checked = False
        self._running: _Running | None = None

    def start_epoch(self) -> None:
        """Start an epoch, for :meth:`check_epoch`."""
        self._has_added = False
        self.step.taught.start_epoch()

    def check_epoch(self) -> None:
        """Raise if no step of the epoch gave the student a gradient."""
        name = type(self.host.module).__name__
        layer = repr(self.host.features_layer)
        remedy = "name a layer of the student that is trained, Layers(features=...)"
        if not any(gather_objects(self._has_added)):
            raise RuntimeError(
                f"in a whole epoch no loss of {name} came from layer {layer}, so that nothing was "
                f"distilled: {remedy}"
            )
        has_teachers = len(self.step.teachers) > 0
        self.step.taught.check_epoch(name, f"layer {layer}", has_teachers, remedy)

    def training_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the original step and add the terms to its loss."""
        batch = args[0] if args else next(iter(kwargs.values()))
        running = self._running = _Running(batch)
        with self.host.reader.reading():
            result = original(*args, **kwargs)
        self._running = None
        if not self.host.module.automatic_optimization:
            self._check_backwards(running)
        elif isinstance(result, Tensor):
            result = self._add_terms(result, batch)
        elif isinstance(result, Mapping) and "loss" in result:
            result = {**result, "loss": self._add_terms(result["loss"], batch)}
        # Any other result skips the batch, or Lightning raises.
        self.host.reader.forget()
        return result

    def manual_backward(
        self, original: Callable[..., Any], loss: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """Call the original backward, on the loss with the terms if they belong to this call."""
        running = self._running
        if running is not None:
            number = running.backwards
            running.backwards += 1
            if not running.is_added and self._takes_terms(loss, number):
                running.is_added = True
                loss = self._add_terms(loss, running.batch)
        return original(loss, *args, **kwargs)

    def _takes_terms(self, loss: Tensor, number: int) -> bool:
        reader = self.host.reader
        if self.backward is not None:
            return number == self.backward and reader.has_gradient()
        # A single optimizer uses the gradient of every call. One of several may erase the gradient
        # of a loss that is not the student's.
        if len(self.host.module.trainer.optimizers) > 1:
            return reader.is_in(loss)
        return reader.has_gradient()

    def _check_backwards(self, running: "_Running") -> None:
        # With several optimizers a step may train another network alone.
        is_lost = self.backward is not None or not running.backwards
        if is_lost and not running.is_added and self.host.reader.has_gradient():
            raise RuntimeError(
                f"none of the {running.backwards} calls of manual_backward in a step of "
                f"{type(self.host.module).__name__} could take the terms: call "
                "self.manual_backward(loss), not loss.backward(), after the student ran, and let "
                f"backward={self.backward} be None or the number of that call"
            )

    def _add_terms(self, loss: Tensor, batch: Any) -> Tensor:
        self._has_added = True
        student = self.host.reader.take()
        samples = self.inputs.read_for(student, batch)
        if not self._is_checked:
            # Once a run: reading values costs a synchronisation.
            self._is_checked = True
            check_output("student", student)
            self.inputs.check_labels(samples, student)
        student = student._replace(index=samples.get("index"))
        self.step.watch.note("the module's own loss", loss)
        self.step.watch.note_output("student", student)
        size = len(student.features)
        task = None if self.task_weight is None else self.task_weight * loss
        result = self.step(self.host.module, task, student, samples, size)
        logged = {name: x.detach() for name, x in result.logged.items()}
        self.live_values |= {"loss": result.loss.detach(), **logged}
        self.host.module.log_dict(
            {f"distillation/{name}": x for name, x in logged.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=size,
        )
        return result.loss


class _Running:
    """The training step that is running."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch
        self.backwards = 0
        self.is_added = False
