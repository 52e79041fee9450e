"""State of the parts that DistillationCallback adds, in the callback's part of a checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from fdkd_lightning.models.weight_checks import check_numbers
from fdkd_lightning.training.distiller import Distiller


def parts_state(distiller: Distiller, averaged: Sequence[nn.Module]) -> dict[str, Any]:
    """Return the distiller's shapes and state, and the states of its averages."""
    return {
        "shapes": distiller.shapes,
        "distiller": distiller.state_dict(),
        "averages": [part.state_dict() for part in averaged],
    }


def load_parts(
    state: Mapping[str, Any], distiller: Distiller, averaged: Sequence[nn.Module]
) -> None:
    """Load what :func:`parts_state` returned; nothing, if the checkpoint has no such state.

    Raises:
        ValueError: If the state is that of other parts, or holds NaN or integers where floats were.
    """
    if "distiller" not in state:
        return
    # Once fit has ended there is no average, since the module has it.
    averages = state.get("averages") or [state["distiller"]] * len(averaged)
    check_numbers("the checkpoint", state["distiller"], distiller.state_dict())
    try:
        distiller.load_state_dict(state["distiller"])
        for part, average in zip(averaged, averages, strict=False):
            part.load_state_dict(average)
    except RuntimeError as error:
        raise ValueError(
            "the checkpoint was written with another criterion, projector or teachers in its "
            "DistillationCallback: resume with the same, or load the module's weights alone "
            f"(load_from_checkpoint) and start a new run; {error}"
        ) from error
