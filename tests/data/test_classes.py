from typing import Any

import pytest

from fdkd_lightning.data.classes import chosen_classes

NAMES = ("cat", "dog", "fish")


def test_classes_keep_the_order_in_which_they_are_chosen() -> None:
    assert chosen_classes(NAMES, None) == (0, 1, 2)
    assert chosen_classes(NAMES, ["fish", "dog"]) == (2, 1)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("cat", "classes='cat' must be a list"),
        (["cat"], "must be a list of two or more"),
        (["cat", "cat"], "different names"),
        (["cat", "dgo"], r"there is no 'dgo', choose among cat, dog, fish \(did you mean dog\?\)"),
        (["cat", 1], "there is no 1"),
    ],
)
def test_what_cannot_be_chosen_is_named(chosen: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen_classes(NAMES, chosen)
