from pathlib import Path

import pytest
import torch
from made_up_run import NAMES, SAMPLES, write_predictions

from fdkd_lightning.report.prediction_file import Predictions, read_predictions


def test_labels_classes_and_probabilities_are_read(tmp_path: Path) -> None:
    found = read_predictions(write_predictions(tmp_path))
    assert isinstance(found, Predictions)
    assert found.names == [*NAMES]
    assert found.label.tolist() == [0, 1, 1, 0]
    assert found.predicted.tolist() == [0, 1, 2, 0]
    assert torch.equal(found.probabilities, torch.tensor([shares for _, shares in SAMPLES[:4]]))
    assert found.unlabelled == 1
    assert found.accuracy == 0.75
    assert found.has_names
    quick = read_predictions(tmp_path / "predictions.csv", probabilities=False)
    assert isinstance(quick, Predictions)
    assert quick.predicted.tolist() == [0, 1, 2, 0]
    assert quick.probabilities.shape == (4, 0)


def test_ids_and_classes_called_like_columns_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("index,id,label,class,label,id\n0,a.wav,id,label,0.75,0.25\n")
    found = read_predictions(path)
    assert isinstance(found, Predictions)
    assert (found.names, found.label.item(), found.predicted.item()) == (["label", "id"], 1, 0)
    assert not read_predictions(write_predictions(tmp_path, names=("0", "1", "2"))).has_names  # type: ignore[union-attr]  # it has labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("index,class,a,b\n0,a,0.5,0.5\n", "without labels"),
        ("index,label,class,a,b\n0,,a,0.5,0.5\n", "without labels"),
        ("index,label a,label b,classes,a,b\n0,1,0,a,0.5,0.5\n", "independent labels or of numb"),
        ("index,label x,x\n0,1,1.5\n", "independent labels or of numbers"),
        ("index,label,class,a\n0,a,a,1.0\n", "a single class"),
    ],
)
def test_other_predictions_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    found = read_predictions(tmp_path / "p.csv")
    assert isinstance(found, str)
    assert words in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with the column index"),
        ("index,label,class,a,a\n", "two classes 'a'"),
        ("index,label,class,a,b\n0,a,a,0.5\n", "line 2: 4 cells for 5 columns"),
        ("index,label,class,a,b\n0,c,a,0.5,0.5\n", "line 2: 'c'"),
        ("index,label,class,a,b\n0,a,a,x,0.5\n", "line 2: could not convert"),
        ("index,label,class,a,b\n0,a,a,nan,0.5\n", "line 2: a probability is not between"),
        ("index,label,class,a,b\n0,a,a,1.5,0.5\n", "line 2: a probability is not between"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_predictions(tmp_path / "p.csv")
    assert "p.csv" in str(error.value)
    assert "fdkd predict again" in str(error.value)
