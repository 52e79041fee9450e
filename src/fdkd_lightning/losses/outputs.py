"""Checks of the outputs that losses compare, by shapes and dtypes."""

from typing import Any

from torch import Tensor, nn

from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output

PROJECTOR_REMEDY = (
    "set the module's `projector` to fdkd_lightning.Projector(), which brings the student's "
    "features to the teacher's width, grid and rank"
)


def check_outputs(student: Output, teacher: Output | None) -> None:
    """Raise unless each output holds floating-point tensors.

    Shapes and dtypes only: no value is read.
    """
    for role, output in (("student", student), ("teacher", teacher)):
        if output is None and role == "teacher":
            continue
        if not isinstance(output, Output):
            kind = type(output).__name__
            raise TypeError(f"the {role}'s output is of type {kind}: give fdkd_lightning.Output")
        if _is_plain(output.features) and _is_plain(output.logits) and not output.maps:
            continue
        named = {"features": output.features, "logits": output.logits}
        named |= {f"map {i}": stage for i, stage in enumerate(output.maps)}
        for name, x in named.items():
            check_tensor(f"{name} of the {role}", x, "[N, ...]")


def require_same_shape(name: str, student: Tensor, teacher: Tensor, remedy: str) -> None:
    """Raise unless both tensors have the same shape."""
    for role, x in (("student", student), ("teacher", teacher)):
        if not _is_plain(x):
            check_tensor(f"the {role}'s {name}", x, "[N, ...]")
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's {name} have shape {list(student.shape)}, "
            f"the teacher's {list(teacher.shape)}: {remedy}"
        )


def _is_plain(x: Any) -> bool:
    """Whether :func:`check_tensor` passes: asked at each step, before its message is made."""
    return isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 0


def require_same_batch(student: Tensor, teacher: Tensor) -> None:
    """Raise unless both tensors are floating-point, of the same number of samples."""
    check_tensor("student", student, "[N, ...]")
    check_tensor("teacher", teacher, "[N, ...]")
    if len(student) != len(teacher):
        raise ValueError(
            f"student has shape {list(student.shape)}, teacher {list(teacher.shape)}: give the "
            "same samples, N of both"
        )
    for name, x in (("student", student), ("teacher", teacher)):
        if 0 in x.shape[1:]:
            raise ValueError(f"{name} has shape {list(x.shape)}, without values: give some")


def require_batch(loss: nn.Module, size: int, least: int, why: str) -> None:
    """Raise if the batch has fewer samples than the loss is defined for."""
    if size < least:
        raise ValueError(
            f"{type(loss).__name__} got a batch of {size}, and needs at least {least}: {why}. "
            "Let the data drop a last batch that is too small (drop_last)"
        )


def stage_map(role: str, output: Output, stage: int) -> Tensor:
    """Return the feature map of a stage; negative indices count from the end.

    Shape:
        - output: [N, C, H, W], or [N, C, 1, L] for tokens

    Raises:
        ValueError: If there is no such stage, or its map does not have four dimensions.
    """
    try:
        found = output.maps[stage]
    except IndexError:
        raise ValueError(
            f"stage={stage} is not among the {len(output.maps)} maps of the {role}'s Output: "
            "choose another stage, or let the model return its stages' maps: "
            "FeatureModel(model, Layers(maps=['layer*'])), and build a cache with maps=True"
        ) from None
    if found.ndim != 4:
        raise ValueError(
            f"map {stage} of the {role}'s Output has shape {list(found.shape)}, not [N, C, H, W]: "
            "let the model arrange tokens on the grid of the image, or as [N, C, 1, L]"
        )
    if 0 in found.shape[1:]:
        raise ValueError(
            f"map {stage} of the {role}'s Output has shape {list(found.shape)}, without values: "
            "choose another stage"
        )
    return found
