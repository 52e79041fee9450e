from typing import Any

import pytest
from recordings import Pairs, Teacher, cpu
from torch import nn

from fdkd_lightning.training.cache.augmentation import is_augmented
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.shard_plan import sections_of
from fdkd_lightning.training.cache.teacher_run import TeacherRun


@pytest.mark.parametrize(
    ("arguments", "augmented"),
    [
        ({}, False),
        ({"drawn": True}, True),
        ({"transforms": {"audio": nn.Dropout(0.5)}}, True),
        ({"transforms": {"audio": nn.Flatten()}}, False),
        ({"transforms": {"visual": nn.Dropout(0.5)}}, False),
    ],
)
def test_what_training_would_change_is_seen(arguments: Any, augmented: bool) -> None:
    data = Pairs(**arguments)
    data.setup("fit")
    run = TeacherRun(Teacher(), "audio", data, cpu(), TeacherCache("c"), lambda batch: batch)
    with run.ready():
        assert is_augmented(run, sections_of(data, 0)[0]) is augmented
