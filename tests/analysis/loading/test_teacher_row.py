import torch

from fdkd_lightning.analysis.collected import Collected, Split
from fdkd_lightning.analysis.loading.teacher_row import student_row


def test_headroom_is_what_is_left_to_gain() -> None:
    logits = torch.eye(4)[[0, 1, 2, 0]]
    seen = Collected(torch.zeros(4, 1), logits, torch.arange(4))
    val = Split(torch.arange(4), None, {"student": seen})
    assert student_row(val, "a.ckpt") == {
        "student_checkpoint": "a.ckpt",
        "student_accuracy": 0.75,
        "headroom": 0.25,
    }
    assert student_row(val, None)["headroom"] is None
