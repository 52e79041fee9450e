from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.training.cache.settings import TeacherCache, cache_settings


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"folder": ""}, "folder=''"),
        ({"folder": 3}, "folder=3"),
        ({"dtype": "int8"}, "dtype='int8' is unknown: choose 'float16' or 'float32'"),
        ({"maps": "yes"}, "maps='yes' must be True or False"),
        ({"views": -1}, "views=-1"),
        ({"views": 1.5}, "views=1.5"),
        ({"top_k": -1}, "top_k=-1"),
    ],
)
def test_bad_arguments_are_named(bad: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        TeacherCache(**{"folder": "c", **bad})


def test_a_folder_alone_means_the_defaults() -> None:
    assert cache_settings(None) is None
    assert cache_settings("c") == cache_settings(Path("c")) == TeacherCache("c")
    given = TeacherCache("c", views=2)
    assert cache_settings(given) is given


@pytest.mark.parametrize("bad", [3, "", True, ["c"]])
def test_what_is_no_folder_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="teacher_cache="):
        cache_settings(bad)


def test_trained_teachers_have_no_cache() -> None:
    with pytest.raises(ValueError, match=r"teacher_cache='c' .* train_teachers=True"):
        cache_settings("c", train_teachers=True)
