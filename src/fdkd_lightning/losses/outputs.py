"""Checks of the outputs that losses compare, by shapes and dtypes."""

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.tensor_checks import check_labels, check_tensor
from fdkd_lightning.types import Output

PROJECTOR_REMEDY = (
    "set the module's `projector` to fdkd_lightning.Projector(), which brings the student's "
    "features to the teacher's width, grid and rank"
)


def check_outputs(student: Output, teacher: Output | None, target: Tensor) -> None:
    """Raise unless outputs and target are tensors of the same samples.

    A batch of one would be broadcast against a larger one. Shapes and dtypes only: no value is
    read.

    Args:
        student: The student's output.
        teacher: The teacher's output, if there is one.
        target: The labels.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If a tensor is not floating-point, or numbers of samples differ.
    """
    if not isinstance(student, Output) or not isinstance(teacher, Output | None):
        kinds = f"{type(student).__name__} and {type(teacher).__name__}"
        raise TypeError(f"student and teacher are {kinds}: give fdkd_lightning.Output")
    if not isinstance(student.features, Tensor) or not student.features.ndim:
        raise TypeError("the student's features must be a tensor [N, D] or [N, D, H, W]")
    n = len(student.features)
    for role, output in (("student", student), ("teacher", teacher)):
        if output is not None:
            named = {"features": output.features, "logits": output.logits}
            named |= {f"map {i}": stage for i, stage in enumerate(output.maps)}
            for name, x in named.items():
                check_tensor(f"the {role}'s {name}", x, "[N, ...]")
                _check_samples(f"the {role}'s {name}", x, n)
    if not isinstance(target, Tensor) or target.dtype != torch.int64:
        kind = target.dtype if isinstance(target, Tensor) else type(target).__name__
        raise TypeError(f"target is {kind}: give int64 classes [N], -100 where there is no label")
    _check_samples("target", target, n)
    if teacher is not None and teacher.label is not None:
        check_labels("the teacher's label", teacher.label, target.shape, "the student's target")


def _check_samples(name: str, x: Tensor, n: int) -> None:
    if x.shape[:1] != (n,):
        raise ValueError(
            f"{name} has shape {list(x.shape)}, but the student's features have N={n}: give the "
            "same samples"
        )


def require_same_shape(name: str, student: Tensor, teacher: Tensor, remedy: str) -> None:
    """Raise unless both tensors have the same shape.

    Args:
        name: The tensors' name in the error, a plural.
        student: The student's tensor.
        teacher: The teacher's tensor.
        remedy: The next step, which the error suggests.

    Shape:
        - student, teacher: any

    Raises:
        TypeError: If one of them is no tensor.
        ValueError: If one of them is not floating-point, or the shapes differ.
    """
    for role, x in (("student", student), ("teacher", teacher)):
        check_tensor(f"the {role}'s {name}", x, "[N, ...]")
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's {name} have shape {list(student.shape)}, "
            f"the teacher's {list(teacher.shape)}: {remedy}"
        )


def require_same_batch(student: Tensor, teacher: Tensor) -> None:
    """Raise unless both tensors are floating-point, of the same number of samples.

    Args:
        student: The student's tensor.
        teacher: The teacher's tensor.

    Shape:
        - student, teacher: [N, ...]

    Raises:
        TypeError: If one of them is no tensor.
        ValueError: If one of them is not floating-point, or the numbers differ.
    """
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
    """Raise if the batch has fewer samples than the loss is defined for.

    Args:
        loss: The loss, which the error names.
        size: The number of samples, N.
        least: The smallest number allowed.
        why: The reason, which the error states.

    Raises:
        ValueError: If N is smaller.
    """
    if size < least:
        raise ValueError(
            f"{type(loss).__name__} got a batch of {size}, and needs at least {least}: {why}. "
            "Let the data drop a last batch that is too small (drop_last)"
        )


def stage_map(role: str, output: Output, stage: int) -> Tensor:
    """Return the feature map of a stage.

    Args:
        role: "student" or "teacher", for the error.
        output: The network's output.
        stage: Index into ``output.maps``; negative indices count from the end.

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
            "choose another stage, or let the model return its stages' maps"
        ) from None
    if found.ndim != 4:
        raise ValueError(
            f"map {stage} of the {role}'s Output has shape {list(found.shape)}, not [N, C, H, W]: "
            "let the model arrange tokens on the grid of the image, or as [N, C, 1, L]"
        )
    return found
