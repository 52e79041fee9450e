"""A table of samples with images, as each kind of logger takes it."""

import csv
from collections.abc import Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from fdkd_lightning.files.atomic_write import atomic_write

NAME = "samples"
"""Name of the table in each logger."""


class Sample(NamedTuple):
    """Cells and image of a sample.

    Args:
        cells: One per column.
        image: RGB image; None: there is none.

    Shape:
        - image: [3, H, W] uint8
    """

    cells: Sequence[str]
    image: Tensor | None = None


class Samples(NamedTuple):
    """A table of samples.

    Args:
        columns: Names of the columns.
        rows: Index -> sample.
        step: Step of the optimizer.
    """

    columns: Sequence[str]
    rows: Mapping[int, Sample]
    step: int

    @property
    def header(self) -> list[str]:
        """Names of all columns."""
        return ["index", *self.columns]

    @property
    def cells(self) -> list[list[str]]:
        """Cells of all columns."""
        return [[str(index), *sample.cells] for index, sample in self.rows.items()]


@singledispatch
def log_samples(logger: Logger, samples: Samples) -> None:
    """Log samples; a logger of another kind gets none.

    Args:
        logger: The logger.
        samples: The samples.
    """


@log_samples.register
def _(logger: CSVLogger, samples: Samples) -> None:
    folder = Path(logger.log_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{NAME}.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", *samples.header])
        table.writerows([samples.step, *cells] for cells in samples.cells)
    for index, sample in samples.rows.items():
        if sample.image is not None:
            (folder / NAME).mkdir(exist_ok=True)
            with atomic_write(folder / NAME / f"{index}.png", is_one_of_many=True) as file:
                _picture(sample.image).save(file, "PNG")


@log_samples.register
def _(logger: TensorBoardLogger, samples: Samples) -> None:
    board = logger.experiment
    lines = [samples.header, ["---"] * len(samples.header), *samples.cells]
    text = "\n".join(f"| {' | '.join(_escaped(cell) for cell in cells)} |" for cells in lines)
    board.add_text(NAME, text, samples.step)
    for index, sample in samples.rows.items():
        if sample.image is not None:
            board.add_image(f"{NAME}/{index}", sample.image, samples.step)


@log_samples.register
def _(logger: WandbLogger, samples: Samples) -> None:
    # It takes a second to import.
    import wandb

    images = [sample.image for sample in samples.rows.values()]
    header, cells = samples.header, [[*row] for row in samples.cells]
    if any(image is not None for image in images):
        header = [*header, "image"]
        shown = [None if x is None else wandb.Image(_picture(x)) for x in images]
        logger.log_table(
            NAME,
            header,
            [[*row, x] for row, x in zip(cells, shown, strict=True)],
            step=samples.step,
        )
        return
    logger.log_table(NAME, header, cells, step=samples.step)


def _picture(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())
