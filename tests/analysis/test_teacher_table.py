import csv
import json
from pathlib import Path

from fdkd_lightning.analysis import Similarity
from fdkd_lightning.analysis.teacher_table import write_table


def test_the_json_holds_all_values_and_the_csv_one_number_a_cell(tmp_path: Path) -> None:
    shared = {"r2_shuffled": (0.5, 0.0), "student_accuracy": None}
    bands = {
        "bands": Similarity(0.1, 0.2, 0.3),
        "bands_permuted": (Similarity(0, 1, 2), Similarity(2, 3, 4)),
    }
    rows = [
        {"teacher": "audio", **shared, **bands},
        {"teacher": "text", **shared, "bands": None, "bands_permuted": ()},
    ]
    write_table(tmp_path / "new", rows, {"splits": ["train", "val"]})
    content = json.loads((tmp_path / "new/analysis.json").read_text())
    assert content["splits"] == ["train", "val"]
    assert content["teachers"][0]["r2_shuffled"] == [0.5, 0]
    assert content["teachers"][0]["bands_permuted"] == [[0, 1, 2], [2, 3, 4]]
    with (tmp_path / "new/analysis.csv").open(newline="") as file:
        audio, text = csv.DictReader(file)
    assert audio == {
        "teacher": "audio",
        "r2_shuffled_mean": "0.25",
        "r2_shuffled_max": "0.5",
        "student_accuracy": "",
        "bands_low": "0.1",
        "bands_high": "0.2",
        "bands_raw": "0.3",
        "bands_permuted_low": "1",
        "bands_permuted_high": "2",
        "bands_permuted_raw": "3",
    }
    assert (text["teacher"], text["bands_low"]) == ("text", "")
