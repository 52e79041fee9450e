"""Check that the criterion's terms reach the student, so that something is distilled."""

from collections.abc import Collection

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.ops.gradient_graph import nodes_of, reaches
from fdkd_lightning.types import Output


class TaughtCheck:
    """Notice an epoch in which no term has a gradient for the student's outputs.

    Features that are detached, come from frozen layers or from re-entrant checkpointing have none:
    then only heads and projectors would learn, and the student would look as if it did.
    """

    remedy = (
        "train the layers that give its features, and let them neither be detached nor "
        "checkpointed with use_reentrant=True"
    )

    def __init__(self) -> None:
        self._has_steps = False
        self._has_terms = False
        self._has_taught = False

    def start_epoch(self) -> None:
        """Forget what the steps of an earlier epoch had."""
        self._has_steps = self._has_terms = self._has_taught = False

    def note(self, terms: Collection[Tensor], student: Output | None) -> None:
        """Note whether a step's terms were computed from the student's outputs."""
        self._has_steps = True
        # Walking through the graph takes a millisecond: once an epoch is enough.
        if student is None or not terms or self._has_taught or torch.compiler.is_compiling():
            self._has_taught |= torch.compiler.is_compiling()
            return
        self._has_terms = True
        outputs = nodes_of([student.features, student.logits, *student.maps])
        self._has_taught = any(reaches(term, outputs) for term in terms)

    def check_epoch(
        self, module: str, outputs: str, has_teachers: bool, remedy: str = remedy
    ) -> None:
        """Raise if no step of the epoch, on any rank, had a gradient for the student.

        Args:
            module: Name of the module, for the error.
            outputs: Name of the student's outputs, for the error.
            has_teachers: Whether there are teachers; without them there may be no terms.
            remedy: What to do about it.

        Raises:
            RuntimeError: If steps had terms, and none a gradient.
        """
        parts = gather_objects((self._has_steps, self._has_terms, self._has_taught))
        has_steps, has_terms, has_taught = (any(column) for column in zip(*parts, strict=True))
        if has_terms and not has_taught:
            raise RuntimeError(
                f"in a whole epoch no term in the loss of {module} came from {outputs} with a "
                f"gradient, so that nothing was distilled: {remedy}"
            )
        if has_teachers and has_steps and not has_terms and not has_taught:
            rank_zero_warn(
                "in a whole epoch the criterion gave no term, so that nothing was distilled: check "
                "that batches hold samples with both the student's and a teacher's modality"
            )
