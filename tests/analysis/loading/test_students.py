import pytest
import torch
from made_up_pairs import Net

from fdkd_lightning.analysis.loading.students import load_students


def test_each_student_has_its_own_weights(checkpoint: str, tmp_path: str) -> None:
    other = f"{tmp_path}/other.ckpt"
    torch.save({"scale": torch.full((1,), 0.25)}, other)
    network = Net()
    student, shown = load_students(network, checkpoint, {"Feat": other})
    assert student is network
    assert [(s.label, s.name, s.checkpoint) for s in shown] == [
        ("w/o KD", "student", checkpoint),
        ("Feat", "student Feat", other),
    ]
    assert [s.network.get_parameter("scale").item() for s in shown] == [0.5, 0.25]


def test_an_untrained_student_is_shown_where_there_is_no_other(checkpoint: str) -> None:
    _, [alone] = load_students(Net(), None, {})
    assert (alone.label, alone.checkpoint) == ("as configured", None)
    _, [given] = load_students(Net(), None, {"Feat": checkpoint})
    assert given.label == "Feat"


def test_a_label_is_used_once(checkpoint: str) -> None:
    with pytest.raises(ValueError, match=r"students names 'w/o KD', which is the student of"):
        load_students(Net(), checkpoint, {"w/o KD": checkpoint})
    _, [given] = load_students(Net(), None, {"w/o KD": checkpoint})
    assert given.name == "student w/o KD"
