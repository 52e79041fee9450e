from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fdkd_lightning.analysis.band_curves import band_curves
from fdkd_lightning.analysis.figure_rows import BandRow
from fdkd_lightning.analysis.row_file import read_rows, write_rows
from fdkd_lightning.report import band_curve_figure


def test_curves_and_intervals_are_those_of_the_table(
    tmp_path: Path, kept: Callable[..., list[Any]]
) -> None:
    figures = kept(band_curve_figure)
    points = band_curves(torch.randn(20, 8), torch.randn(20, 8))
    rows = [BandRow("audio", student, *p) for student in ("Feat", "KD") for p in points]
    write_rows(tmp_path / "bands.csv", BandRow, rows)
    band_curve_figure.plot_band_curves(tmp_path)
    [figure] = figures
    assert len(figure.axes) == 6
    assert figure.axes[3].get_title() == "KD: low band"
    written = read_rows(tmp_path / "bands.csv", BandRow)
    for panel, band in zip(figure.axes[:3], ("low", "high", "frequency"), strict=True):
        lines = {line.get_label(): line for line in panel.lines}
        variants = ["without DC", "channels permuted", *(["with DC"] if band == "low" else [])]
        for variant in variants:
            chosen = [
                r for r in written if (r.student, r.band, r.variant) == ("Feat", band, variant)
            ]
            assert [*lines[variant].get_xdata()] == [row.position for row in chosen]
            assert [*lines[variant].get_ydata()] == [row.cosine for row in chosen]
        assert len({lines[variant].get_linestyle() for variant in variants}) == len(variants)
    [dc] = [r for r in written if (r.student, r.band, r.position) == ("Feat", "frequency", 0)]
    drawn = [line for line in figure.axes[2].lines if len(line.get_xdata()) == 1]
    assert drawn[0].get_ydata()[0] == pytest.approx(dc.cosine)
