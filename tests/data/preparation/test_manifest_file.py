from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.manifest_file import (
    Row,
    manifest_name,
    read_manifest,
    write_manifest,
)
from fdkd_lightning.data.preparation.recipe import AudioRecipe, ImageRecipe, Recipe, TextRecipe
from fdkd_lightning.data.preparation.sample import Sample

RECIPES: dict[str, Recipe] = {
    "audio": AudioRecipe(8000),
    "visual": ImageRecipe(),
    "text": TextRecipe(),
}


def test_a_missing_manifest_asks_for_prepare_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x.csv does not exist: call prepare_data"):
        read_manifest(tmp_path / "x.csv", RECIPES)


@pytest.mark.parametrize(
    "text",
    [
        "id,split,label\nx,train,a\n",
        "id,split,label,audio,visual,text,status,reason\nx,train,a,../b.npy,,,ok,\n",
        "id,split,label,audio,visual,text,status,reason\nx,train,a,/b.npy,,,ok,\n",
        'id,split,label,audio,visual,text,status,reason\n"x,train',
    ],
)
def test_a_damaged_manifest_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(RuntimeError, match=r"x.csv is damaged .*delete it"):
        read_manifest(tmp_path / "x.csv", RECIPES)


def test_texts_of_all_kinds_come_back(tmp_path: Path) -> None:
    texts = ["a, b", 'say "so"', "two\nlines", "cr\r\nlf", "lone\rcr", "tab\t", "ünï 🦉", "../up"]
    rows = [Row(str(i), "train", "", {"text": text}, "ok", "") for i, text in enumerate(texts)]
    write_manifest(tmp_path / "x.csv", rows, ["text"])
    assert read_manifest(tmp_path / "x.csv", {"text": TextRecipe()}) == rows


def test_a_written_manifest_is_not_touched_again(tmp_path: Path) -> None:
    path = tmp_path / "made" / "x.csv"
    rows = [Row("a", "val", "b", {}, "missing", "audio a.wav: missing: there is no such file")]
    write_manifest(path, rows, ["audio"])
    before = path.stat().st_mtime_ns
    write_manifest(path, rows, ["audio"])
    assert path.stat().st_mtime_ns == before
    write_manifest(path, [], ["audio"])
    assert read_manifest(path, {"audio": AudioRecipe()}) == []


def test_whatever_decides_the_contents_changes_the_name() -> None:
    sample = Sample("a", "train", "x", {"audio": "a.wav"})
    others = [
        sample,
        sample._replace(split="val"),
        sample._replace(label="y"),
        sample._replace(start=1.0),
        sample._replace(sources={"audio": "b.wav"}),
        sample._replace(members={"audio": "3"}),
        sample._replace(fault="no length"),
    ]
    names = {manifest_name([other], {"audio": AudioRecipe()}) for other in others}
    names.add(manifest_name([sample], {"audio": AudioRecipe(8000)}))
    assert len(names) == 8
    # What is not prepared does not.
    more = sample._replace(sources={"audio": "a.wav", "visual": "a.jpg"}, where="line 7")
    assert manifest_name([more], {"audio": AudioRecipe()}) in names
