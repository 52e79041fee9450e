from pathlib import Path

import pytest

from fdkd_lightning.benchmark.result_files import read_results, write_results
from fdkd_lightning.benchmark.row import Row


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    rows = [
        Row("loss", "a, b", "x", "s", 0.5, 0.25, 0.375, 1.0, 7),
        Row("loss", "a, b", "y", "bytes", 3.0, 3.0, 3.0, 3.0, 1, "x", 6.0),
    ]
    about = {"command": "fdkd benchmark", "skipped": {"loader": "no av"}}
    write_results(tmp_path / "new", rows, about)
    assert read_results(tmp_path / "new") == (rows, about)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run fdkd benchmark again"):
        read_results(tmp_path)
