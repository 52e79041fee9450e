"""Pixels of maps as rows: their labels, which of them count, and means over those."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.tensor_checks import check_labels, check_on_cpu
from fdkd_lightning.types import IGNORE_INDEX, Output

Void = Literal["exclude", "keep"]
"""Leave pixels of target -100 out of every term, or keep them where a term needs no label."""


def labels_at(labels: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Bring labels to the resolution of a map: those of the nearest pixels.

    Args:
        labels: Class indices, -100 where there is none.
        size: H' and W' of the map.

    Shape:
        - labels: [N, H, W] int64
        - output: [N, H', W'] int64

    Example:
        >>> labels_at(torch.tensor([[[1, 2, 3, -100]]]), (1, 2))
        tensor([[[1, 3]]])
    """
    if labels.shape[1:] == tuple(size):
        return labels
    # float32 holds every class number exactly.
    nearest = F.interpolate(labels[:, None].float(), tuple(size), mode="nearest")
    return nearest[:, 0].long()


def pixel_rows(x: Tensor) -> Tensor:
    """Return the pixels of all maps as rows.

    Shape:
        - x: [N, C, H, W]
        - output: [N H W, C]

    Example:
        >>> pixel_rows(torch.zeros(2, 8, 3, 4)).shape
        torch.Size([24, 8])
    """
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """Return this rank's share of the mean over the values that count, of all ranks.

    Args:
        values: The values; where they do not count they may be anything, NaN too.
        counted: Which of them count.

    Shape:
        - values: any, floating-point
        - counted: the same, bool
        - output: scalar, 0 if none counts

    Example:
        >>> mean_of(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False]))
        tensor(2.)
    """
    total = torch.where(counted, values, 0.0).sum()
    return mean_over_ranks(total, counted.sum().to(total.dtype))


def zero_where_void(x: Tensor, counted: Tensor) -> Tensor:
    """Set the pixels that do not count to zero, whatever they hold; they get no gradient.

    Args:
        x: Maps.
        counted: The pixels that count.

    Shape:
        - x, output: [N, C, H, W]
        - counted: [N, H, W], bool

    Example:
        >>> x = torch.tensor([[[[1.0, torch.nan]]]])
        >>> zero_where_void(x, torch.tensor([[[True, False]]]))
        tensor([[[[1., 0.]]]])
    """
    if x.shape[:1] + x.shape[2:] != counted.shape:
        raise ValueError(
            f"maps have shape {list(x.shape)} where {list(counted.shape)} pixels have labels: give "
            "features, logits and target of the same samples"
        )
    return torch.where(counted[:, None], x, 0.0)


def check_width(rows: Tensor, built: int) -> None:
    """Raise unless pixels have the number of channels that a loss was built for.

    Args:
        rows: The pixels.
        built: The number of channels.

    Shape:
        - rows: [R, C]

    Raises:
        ValueError: If C differs.

    Example:
        >>> check_width(torch.zeros(5, 8), 8)
    """
    if rows.shape[1] != built:
        raise ValueError(
            f"maps have {rows.shape[1]} channels, but the loss was built for {built}: call "
            "build(student, teacher) of a new loss with the outputs of these networks"
        )


def check_label_maps(name: str, target: Tensor, logits: Tensor) -> None:
    """Raise unless the target holds one class, or -100, per pixel of the logits.

    Args:
        name: Name of the argument, for the error.
        target: The classes.
        logits: The class scores.

    Shape:
        - target: [N, H, W]
        - logits: [N, K, H, W]

    Raises:
        TypeError: If the target is no int64 tensor.
        ValueError: If the shapes do not fit; on a CPU, if a value is neither a class nor -100.
    """
    if logits.ndim != 4:
        raise ValueError(
            f"logits have shape {list(logits.shape)}: the loss compares pixels, so give class "
            "scores [N, K, H, W] of a segmentation network"
        )
    size = logits.shape[:1] + logits.shape[2:]
    check_labels(name, target, size, f"logits {list(logits.shape)}")
    classes = logits.shape[1]
    is_class = (target >= 0) & (target < classes)
    check_on_cpu(
        (is_class | (target == IGNORE_INDEX)).all(),
        f"{name} holds a value that is no class of 0..{classes - 1} and not -100 (no label): "
        "map other values to -100 in the data",
    )


def check_feature_maps(student: Output, teacher: Output, same_width: bool = False) -> None:
    """Raise unless the features are maps with the same pixels.

    Args:
        student: The student's output.
        teacher: The teacher's output.
        same_width: Whether the channels must agree, too.

    Raises:
        ValueError: If features are no maps, or differ in N, H or W.
    """
    for role, x in (("student", student.features), ("teacher", teacher.features)):
        if x.ndim != 4 or 0 in x.shape[1:]:
            raise ValueError(
                f"the {role}'s features have shape {list(x.shape)}: give maps [N, D, H, W], as "
                "DeepLabV3Plus returns them"
            )
    shapes = [x.features.shape for x in (student, teacher)]
    pixels = [shape[:1] + shape[2:] for shape in shapes]
    if pixels[0] != pixels[1] or (same_width and shapes[0] != shapes[1]):
        raise ValueError(
            f"the student's features have shape {list(shapes[0])}, the teacher's "
            f"{list(shapes[1])}: the loss compares pixel by pixel, so give maps of one size; "
            "fdkd_lightning.Projector(positions='resize') resizes the student's"
        )
