import math
from pathlib import Path

import pytest
import torch
from made_up_run import NAMES, write_predictions

from fdkd_lightning.analysis.confusion import confusion_matrix
from fdkd_lightning.report.class_scores import class_rows, confusions
from fdkd_lightning.report.prediction_file import read_predictions

MATRIX = [[2, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_the_matrix_counts_true_by_predicted(tmp_path: Path) -> None:
    found = read_predictions(write_predictions(tmp_path))
    assert not isinstance(found, str)
    matrix = confusion_matrix(found.predicted, found.label, len(found.names))
    assert matrix.tolist() == MATRIX
    assert confusions(found.names, matrix) == [("dog", "fish", 1)]


def test_the_interval_is_wilsons(tmp_path: Path) -> None:
    found = read_predictions(write_predictions(tmp_path))
    assert not isinstance(found, str)
    rows = class_rows([*NAMES], torch.tensor(MATRIX))
    assert [(row.name, row.samples, row.right, row.predicted) for row in rows] == [
        ("cat", 2, 2, 2),
        ("dog", 2, 1, 1),
        ("fish", 0, 0, 1),
    ]
    z, n = 1.959964, 2
    for row, share in zip(rows, (1.0, 0.5), strict=False):
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        assert row.accuracy == 100 * share
        assert row.low == pytest.approx(100 * (middle - half), rel=1e-5)
        assert row.high == pytest.approx(100 * (middle + half), rel=1e-5)
    assert math.isnan(rows[2].accuracy)
