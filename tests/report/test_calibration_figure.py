from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fdkd_lightning.analysis.calibration import calibration_bins, calibration_error
from fdkd_lightning.analysis.figure_rows import CalibrationRow
from fdkd_lightning.analysis.row_file import read_rows, write_rows
from fdkd_lightning.report import calibration_figure


def test_dots_are_the_bins_and_the_error_is_theirs(
    tmp_path: Path, kept: Callable[..., list[Any]]
) -> None:
    figures = kept(calibration_figure)
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(200, 3, generator=generator).softmax(1)
    label = torch.randint(3, (200,), generator=generator)
    rows = [CalibrationRow("KD", *bin) for bin in calibration_bins(probabilities, label)]
    write_rows(tmp_path / "calibration.csv", CalibrationRow, rows)
    calibration_figure.plot_calibration(tmp_path)
    written = read_rows(tmp_path / "calibration.csv", CalibrationRow)
    panel = figures[0].axes[0]
    dots = panel.collections[0].get_offsets().tolist()
    assert dots == [[row.confidence, row.accuracy] for row in written]
    error = calibration_error(probabilities, label)
    assert calibration_figure.expected_error(written) == pytest.approx(error, abs=1e-6)
    assert panel.get_title() == f"KD\ncalibration error {100 * error:.1f} %"
