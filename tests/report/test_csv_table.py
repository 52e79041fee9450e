from pathlib import Path

from fdkd_lightning.files.read_file import csv_rows
from fdkd_lightning.report.csv_table import write_table


def test_cells_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [["Größe, 数", '"quoted"', 0.1], ["two\nlines", None, 1e-300]]
    write_table(tmp_path / "a.csv", ["x", "y", "z"], rows)
    assert [cells for _, cells in csv_rows(tmp_path / "a.csv")] == [
        ["x", "y", "z"],
        ["Größe, 数", '"quoted"', "0.1"],
        ["two\nlines", "", "1e-300"],
    ]
