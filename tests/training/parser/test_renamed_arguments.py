from importlib import import_module

import pytest

from fdkd_lightning import LayerwiseLoss
from fdkd_lightning.training.parser.renamed_arguments import RENAMED, Renamed, explain_renamed


class Mine(LayerwiseLoss):
    """A user's subclass."""


def refusal(class_path: str, option: str) -> str:
    """An error in the words of the parser."""
    return (
        f"Parser key \"criterion\":\n  Problem with given class_path '{class_path}':\n"
        f"    Option '{option}' is not accepted"
    )


@pytest.mark.parametrize("row", RENAMED, ids=lambda row: f"{row.class_name}.{row.argument}")
def test_each_row_names_a_class_and_what_to_write(row: Renamed) -> None:
    message = explain_renamed(refusal(f"fdkd_lightning.{row.class_name}", row.argument))
    assert message is not None
    for part in (row.class_name, repr(row.argument), row.remedy):
        assert part in message
    kind = getattr(import_module("fdkd_lightning"), row.class_name)
    # The name is free: nothing that works is refused.
    assert row.argument not in kind.__init__.__annotations__


def test_a_subclass_inherits_the_rename() -> None:
    message = explain_renamed(refusal(f"{__name__}.Mine", "places"))
    assert message == "Mine has no argument 'places' any more: write positions"


@pytest.mark.parametrize(
    "message",
    [
        refusal("fdkd_lightning.Projector", "place"),
        refusal("fdkd_lightning.KDLoss", "places"),
        "unrecognized arguments: --places=mean",
    ],
)
def test_other_errors_are_left_alone(message: str) -> None:
    assert explain_renamed(message) is None
