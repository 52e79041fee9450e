"""Notice when a network or a term of the loss becomes NaN, without a synchronisation each step."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.types import Output

INTERVAL = 50
"""Steps between two looks at the notes, each of which waits for the device."""


class FiniteWatch:
    """Note on the device which part of a step was not finite first; raise when asked.

    Parts are noted in the order in which a step computes them, so that the first of the earliest
    step is the cause of the others.

    Example:
        >>> watch = FiniteWatch()
        >>> watch.note("term 'low'", torch.tensor(1.0))
        >>> watch.end_step()
        >>> watch.note("term 'low'", torch.tensor(float("nan")))
        >>> watch.end_step()
        >>> watch.check()
        Traceback (most recent call last):
        FloatingPointError: training diverged: term 'low' is NaN or infinite since step 1 of this \
run: lower the learning rate or that term's weight, clip gradients \
(trainer.gradient_clip_val), or check the data and the precision
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all notes: a new run begins."""
        self._step: Tensor | None = None
        # Name -> first step in which it was not finite; -1: none.
        self._first: dict[str, Tensor] = {}
        self._last: dict[str, Tensor] = {}

    @torch.no_grad()
    def note(self, name: str, value: Tensor) -> None:
        """Note whether a value is finite."""
        self._note(name, value.detach().isfinite().all())

    def note_output(self, name: str, output: Output) -> None:
        """Note whether a network's features and logits are finite."""
        self.note(f"the {name}'s features", output.features)
        # -inf masks a class.
        self._note(f"the {name}'s logits", (output.logits.detach() < torch.inf).all())

    def end_step(self) -> None:
        """Count the step."""
        if self._step is not None:
            self._step += 1

    def is_due(self, batch_idx: int) -> bool:
        """Return whether to look at the notes after this batch."""
        return (batch_idx + 1) % INTERVAL == 0

    def check(self, module: nn.Module | None = None, recovers: bool = False) -> None:
        """Raise if something noted, or a parameter of the module, is not finite on any rank.

        Args:
            module: The module that is trained; None: check the notes alone.
            recovers: Whether steps that are not finite are skipped, as by a gradient scaler: then
                only those that do not end count.

        Raises:
            FloatingPointError: If training has diverged; it names the first cause.
        """
        noted = self._found(recovers)
        if module is not None and not noted and not _is_finite(module):
            noted = [(-1, "a weight of the module")]
        everywhere = [entry for part in gather_objects(noted) for entry in part]
        if not everywhere:
            return
        step, name = min(everywhere, key=lambda entry: entry[0])
        verb = "are" if name.endswith(("features", "logits")) else "is"
        since = "" if step < 0 else f" since step {step} of this run"
        remedy = (
            "check its weights and its input, and train again"
            if "teacher" in name
            else "a batch without a label makes torch's mean cross-entropy NaN; else lower the "
            "learning rate, clip gradients (trainer.gradient_clip_val), or check the data"
            if "own loss" in name
            else "lower the learning rate or that term's weight, clip gradients "
            "(trainer.gradient_clip_val), or check the data and the precision"
        )
        raise FloatingPointError(
            f"training diverged: {name} {verb} NaN or infinite{since}: {remedy}"
        )

    def _note(self, name: str, finite: Tensor) -> None:
        if self._step is None:
            self._step = torch.zeros((), dtype=torch.int64, device=finite.device)
        step = self._step.to(finite.device)
        if name not in self._first:
            self._first[name] = torch.full_like(step, -1)
            self._last[name] = torch.full_like(step, -1)
        first, last = self._first[name], self._last[name]
        first.copy_(torch.where(finite | (first >= 0), first, step))
        last.copy_(torch.where(finite, torch.full_like(step, -1), step))

    def _found(self, recovers: bool) -> list[tuple[int, str]]:
        """Return first step and name of what was not finite, in the order of a step."""
        if not self._first:
            return []
        steps = torch.stack(
            [torch.stack([*self._first.values()]), torch.stack([*self._last.values()])]
        )
        found = []
        for name, first, last in zip(self._first, *steps.tolist(), strict=True):
            if first >= 0 and not (recovers and last < 0):
                found.append((first, name))
        return found


@torch.no_grad()
def _is_finite(module: nn.Module) -> bool:
    finite = [p.isfinite().all() for p in module.parameters() if p.requires_grad]
    return not finite or bool(torch.stack([x.to(finite[0].device) for x in finite]).all())


def recovers(trainer: Trainer) -> bool:
    """Return whether a gradient scaler (16-mixed) skips steps that are not finite."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None
