from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.report.segmentation_figure import Segmented, plot_segmentations


def row(*names: str) -> Segmented:
    target = torch.tensor([[0, 1, -100, 1]]).expand(3, 4)
    predictions = {name: torch.full((3, 4), k) for k, name in enumerate(names)}
    return Segmented(torch.rand(3, 6, 8), target, predictions)


def test_the_figure_has_a_row_per_image(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 3):
        plot_segmentations(tmp_path / "a.png", [row("alone", "taught")] * count, ["wall", "floor"])
        with Image.open(tmp_path / "a.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        sizes.append(pixels.shape)
        # The colours of both classes, over the image and in the legend.
        for color in ((128, 0, 0), (0, 128, 0)):
            assert (pixels == color).all(2).any()
    assert sizes[0][1] == sizes[1][1]
    assert sizes[1][0] > 2 * sizes[0][0]


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows is empty"):
        plot_segmentations(tmp_path / "a.png", [], ["wall"])
    with pytest.raises(ValueError, match=r"predictions of \['alone'\] and of \['taught'\]"):
        plot_segmentations(tmp_path / "a.png", [row("alone"), row("taught")], ["wall"])


def test_an_image_without_labels_is_drawn(tmp_path: Path) -> None:
    blank = row("alone")._replace(target=torch.full((3, 4), -100))
    plot_segmentations(tmp_path / "a.svg", [blank], ["wall", "floor"])
    assert "<svg" in (tmp_path / "a.svg").read_text()
