import inspect
from pathlib import Path

import pytest

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.paired_files import PairedFiles
from fdkd_lightning.data.preparation.recipe import Recipe, TextRecipe
from fdkd_lightning.data.preparation.sample import Sample


class Words(PairedFiles):
    """Two texts, without a file."""

    def default_recipes(self) -> dict[str, Recipe]:
        return {"text": TextRecipe(), "title": TextRecipe()}

    def read_samples(self) -> list[Sample]:
        words = {"text": "an owl", "title": "owl"}
        return [Sample(f"{i}", "train", "ba"[i], words, group=f"{i}") for i in range(2)]


def test_the_arguments_are_those_of_the_data_module() -> None:
    own = inspect.signature(PairedFiles).parameters
    of_module = inspect.signature(PairedDataModule).parameters
    assert [*own] == [name for name in of_module if name in own]
    assert all(of_module[name] == parameter for name, parameter in own.items())


def test_the_samples_have_checked_labels_splits_and_views(tmp_path: Path) -> None:
    files = Words(tmp_path, val_fraction=0.5, modalities=["title"], views={"more": "title"})
    assert files.modalities == ("title", "more")
    assert files.class_names == ("a", "b")
    assert sorted(sample.split for sample in files.samples) == ["train", "val"]
    assert files.samples[0].sources["more"] == "owl"
    report = files.prepare(dry_run=True)
    assert (report.used, report.manifest) == ({"train": 1, "val": 1}, tmp_path / "prepared")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modalities": ["sound"]}, r"modalities=\['sound'\] must be a list of one or more of"),
        ({"optional_modalities": ["sound"]}, "optional_modalities='sound' is unknown"),
        ({"min_coverage": 2.0}, "min_coverage=2.0 must be"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Words("root", **arguments)  # type: ignore[arg-type]  # wrong ones
