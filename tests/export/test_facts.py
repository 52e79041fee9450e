import dataclasses

import pytest

from fdkd_lightning.export.facts import RunFacts, Teacher


def test_what_is_not_known_is_none_and_nothing_is_assumed() -> None:
    facts = RunFacts("nowhere", {"class_path": "mine.Data"}, "fdkd_lightning.UnimodalModule")
    assert facts.criterion is None
    assert (facts.teachers, facts.metrics, facts.checkpoint, facts.study) == ((), {}, "", None)
    assert Teacher("audio", "mine.Net").sha256 is None


def test_facts_do_not_change() -> None:
    teacher = Teacher("audio", "mine.Net")
    with pytest.raises(dataclasses.FrozenInstanceError):
        teacher.sha256 = "made up"  # type: ignore[misc]  # that is the point
