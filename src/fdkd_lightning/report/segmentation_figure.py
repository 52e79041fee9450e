"""Figure of segmented images: input, labels and the predictions of several students."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.optional import require
from fdkd_lightning.ops.segmentation_image import class_palette, overlay, visible
from fdkd_lightning.types import IGNORE_INDEX


class Segmented(NamedTuple):
    """One image and what is said of it.

    Args:
        image: The input.
        target: True class of each pixel; -100 where there is none.
        predictions: Name of a student -> its class of each pixel.

    Shape:
        - image: [C, H, W]
        - target, predictions[name]: [H, W] int64

    Example:
        >>> import torch
        >>> zeros = torch.zeros(4, 4, dtype=torch.int64)
        >>> Segmented(torch.zeros(3, 4, 4), zeros, {"alone": zeros}).target.shape
        torch.Size([4, 4])
    """

    image: Tensor
    target: Tensor
    predictions: Mapping[str, Tensor]


def plot_segmentations(path: Path, rows: Sequence[Segmented], class_names: Sequence[str]) -> None:
    """Draw images one below the other: input, labels, and each student's prediction beside them.

    Each prediction has its pixel accuracy above it. The legend names the classes that occur.

    Args:
        path: The image file to write.
        rows: The images, each with predictions of the same students.
        class_names: Names of the classes.

    Raises:
        ValueError: If ``rows`` is empty, or the students differ.
        ImportError: If matplotlib is not installed: the extra ``plots``.

    Example:
        >>> import tempfile, torch
        >>> zeros = torch.zeros(4, 4, dtype=torch.int64)
        >>> row = Segmented(torch.zeros(3, 4, 4), zeros, {"alone": zeros})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_segmentations(Path(folder, "rooms.png"), [row], ["wall", "floor"])
    """
    if not rows:
        raise ValueError("rows is empty: give at least one segmented image")
    students = [*rows[0].predictions]
    for row in rows:
        if [*row.predictions] != students:
            raise ValueError(
                f"rows have predictions of {students} and of {[*row.predictions]}: give the same "
                "students in each"
            )
    matplotlib = require("matplotlib.figure", extra="plots", purpose="drawing segmented images")
    patches = require("matplotlib.patches", extra="plots", purpose="drawing segmented images")
    palette = class_palette(len(class_names))
    columns = 2 + len(students)
    height, width = rows[0].target.shape
    size = (2.2 * columns, (2.2 * height / width + 0.3) * len(rows) + 0.7)
    figure = matplotlib.Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    present: set[int] = set()
    for axes, row in zip(grid, rows, strict=True):
        rgb, target = visible(row.image, row.target.shape), row.target.cpu()
        axes[0].imshow(rgb.permute(1, 2, 0).numpy())
        axes[0].set_title("input", fontsize=9)
        maps = {"labels": target, **{name: x.cpu() for name, x in row.predictions.items()}}
        for ax, (name, classes) in zip(axes[1:], maps.items(), strict=True):
            ax.imshow(overlay(rgb, classes, palette).permute(1, 2, 0).numpy())
            labelled = target != IGNORE_INDEX
            right = (classes == target)[labelled].float().mean()
            known = name == "labels" or not labelled.any()
            ax.set_title(name if known else f"{name}: {right:.0%}", fontsize=9)
            present |= {*classes.flatten().tolist()} - {IGNORE_INDEX}
        for ax in axes:
            ax.set_axis_off()
    handles = [
        patches.Patch(color=(palette[k] / 255).tolist(), label=class_names[k])
        for k in sorted(present)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(8, columns * 2), fontsize=8
    )
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=150)
