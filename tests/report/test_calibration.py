import csv
from pathlib import Path

import pytest
import torch
from made_up_run import write_predictions

from fdkd_lightning.report.calibration import (
    Bin,
    calibration_bins,
    calibration_error,
    write_bins,
)
from fdkd_lightning.report.prediction_file import Predictions, read_predictions


def test_bins_by_hand(tmp_path: Path) -> None:
    found = read_predictions(write_predictions(tmp_path))
    assert not isinstance(found, str)
    # Confidences 0.75 (right), 0.625 (right), 0.75 (wrong) and 1 (right).
    places = [(9 / 15, 1, 0.625, 1.0), (11 / 15, 2, 0.75, 0.5), (1.0, 1, 1.0, 1.0)]
    bins = calibration_bins(found)
    assert [(x.samples, x.confidence, x.accuracy, x.share) for x in bins] == [
        (n, confidence, accuracy, n / 4) for _, n, confidence, accuracy in places
    ]
    assert [x.low for x in bins] == pytest.approx([low for low, *_ in places])
    by_hand = 1 / 4 * 0.375 + 2 / 4 * 0.25
    assert calibration_error(found) == pytest.approx(by_hand, abs=1e-6)


def test_the_error_is_that_of_the_table(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    shares = (8 * torch.randn(500, 5, generator=generator)).softmax(1)
    shares = (1e6 * shares).round() / 1e6  # as in the file; some are exactly 1
    label = torch.randint(5, (500,), generator=generator)
    found = Predictions([*"abcde"], label, shares.argmax(1), shares, 0)
    assert (shares == 1).any()
    write_bins(tmp_path / "c.csv", calibration_bins(found))
    with (tmp_path / "c.csv").open(newline="") as file:
        bins = [Bin(*map(float, row.values())) for row in csv.DictReader(file)]
    assert sum(x.samples for x in bins) == 500
    error = sum(x.samples * abs(x.accuracy - x.confidence) for x in bins) / 500
    assert calibration_error(found) == pytest.approx(error, abs=1e-6)
    assert all(x.low <= x.confidence <= x.high for x in bins)
