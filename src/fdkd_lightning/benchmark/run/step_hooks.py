"""Attach a clock to the parts of Lightning's training step."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import Profiler
from torch import Tensor, nn

from fdkd_lightning.benchmark.run.run_parts import RunParts
from fdkd_lightning.benchmark.run.step_clock import StepClock
from fdkd_lightning.training.monitor.loader_wait import is_loading

DATA, TRANSFER, STUDENT, LOSS, OPTIMIZER = "data", "transfer", "student", "loss", "optimizer"
LOGGING = "task loss and logging"
"""The rest of the training step."""


def teacher_part(modality: str) -> str:
    """Return the name of a teacher's part.

    Example:
        >>> teacher_part("audio")
        'teacher audio'
    """
    return f"teacher {modality}"


class StepProfiler(Profiler):
    """Lightning's profiler, which tells a clock about loading, transfer and the training step.

    Args:
        clock: The clock.
        step: The part to which the rest of ``training_step`` belongs.
    """

    def __init__(self, clock: StepClock, step: str) -> None:
        super().__init__()
        self.step_clock, self.step = clock, step

    def part_of(self, action: str) -> str | None:
        """Return the part of one of Lightning's actions; None: it is none."""
        if is_loading(action):
            return DATA
        if action.startswith("[Strategy]") and action.endswith(".batch_to_device"):
            return TRANSFER
        if action.startswith("[Strategy]") and action.endswith(".training_step"):
            return self.step
        return None

    def start(self, action_name: str) -> None:
        """Begin an action."""
        part = self.part_of(action_name)
        if part is not None:
            self.step_clock.enter(part)

    def stop(self, action_name: str) -> None:
        """End an action."""
        if self.part_of(action_name) is not None:
            self.step_clock.leave()


@contextmanager
def attached(clock: StepClock, parts: RunParts, trainer: Trainer) -> Iterator[None]:
    """Let a clock measure the parts of the steps in the block.

    The student's part is its forward pass, and the backward pass from its outputs on. The loss is
    criterion and projector, and the backward pass up to there. Of a foreign module the whole
    ``training_step`` without teachers and criterion is the student's.
    """
    with ExitStack() as stack:
        profiled: Any = trainer  # whose connector sets the profiler
        stack.callback(setattr, profiled, "profiler", profiled.profiler)
        profiled.profiler = StepProfiler(clock, STUDENT if parts.student is None else LOGGING)
        if parts.student is not None:
            _time_module(stack, clock, parts.student, STUDENT)
        for modality, teacher in parts.named_teachers().items():
            _time_module(stack, clock, teacher, teacher_part(modality))
        backward = STUDENT
        if parts.distiller is not None:
            _time_module(stack, clock, parts.distiller, LOSS)
            arrival = functools.partial(_watch_gradients, clock)
            stack.callback(parts.distiller.register_forward_pre_hook(arrival).remove)
            backward = LOSS
        strategy = trainer.strategy
        _time_method(stack, clock, strategy, "backward", backward)
        _time_method(stack, clock, strategy, "optimizer_step", OPTIMIZER)
        yield


def _time_module(stack: ExitStack, clock: StepClock, module: nn.Module, part: str) -> None:
    before = module.register_forward_pre_hook(lambda *_: clock.enter(part))
    after = module.register_forward_hook(lambda *_: clock.leave())
    stack.callback(before.remove)
    stack.callback(after.remove)


def _time_method(stack: ExitStack, clock: StepClock, owner: Any, name: str, part: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.part(part):
            return original(*args, **kwargs)

    setattr(owner, name, timed)
    # What hid the method of the class.
    stack.callback(delattr, owner, name)


def _watch_gradients(clock: StepClock, distiller: nn.Module, args: tuple[Any, ...]) -> None:
    """Switch from the loss to the student where the gradient arrives at the student's output.

    Autograd runs later operations first: when the first of these gradients is complete, all of the
    criterion's are.
    """
    arrived: list[bool] = []

    def switch(gradient: Tensor) -> None:
        if not arrived:
            arrived.append(True)
            clock.switch(STUDENT)

    for pair in args[0]:
        if pair is not None:
            for x in (pair.student.features, pair.student.logits):
                if x.requires_grad:
                    x.register_hook(switch)
