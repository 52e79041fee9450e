import math
from pathlib import Path

import pytest

from fdkd_lightning.analysis.figure_rows import ConfusionRow, LayerRow
from fdkd_lightning.analysis.row_file import read_rows, write_rows


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "layers.csv"
    rows = [LayerRow("audio", 'a "quoted", name', "x", "y\nz", 0.1 + 0.2, 1e-17)]
    write_rows(path, LayerRow, rows)
    assert read_rows(path, LayerRow) == rows
    write_rows(path, LayerRow, [rows[0]._replace(cka=math.nan)])
    assert math.isnan(read_rows(path, LayerRow)[0].cka)
    write_rows(path, LayerRow, [])
    assert read_rows(path, LayerRow) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student,label\n", "must have the columns student, label, predicted, samples"),
        ("student,label,predicted,samples\na,b,c,many\n", "line 2: invalid literal"),
        ("student,label,predicted,samples\na,b,c\n", "line 2: zip"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "confusion.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_rows(path, ConfusionRow)
