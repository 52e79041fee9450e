import pickle
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.data.dataset import PairedDataset, usable_positions
from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.recipe import AudioRecipe, Recipe, TextRecipe
from fdkd_lightning.data.preparation.sample import Sample

TEXTS = ["", "ünï 🦉", "so"]


def made(folder: Path, recipes: dict[str, Recipe], **settings: object) -> PairedDataset:
    rows = []
    for i, text in enumerate(TEXTS):
        np.save(folder / f"{i}.npy", np.full(20, 100 * i, np.int16))
        rows.append(Row(str(i), "train", "", {"text": text, "audio": f"{i}.npy"}, "ok", ""))
    label, index = np.arange(3), np.array([5, 7, 9])
    return PairedDataset(folder, recipes, rows, label, index, **settings)  # type: ignore[arg-type]


def test_a_sample_needs_what_is_not_optional_and_no_faulty_label_map() -> None:
    sources = [{"audio": "a", "text": "a"}, {"audio": "a"}, {"text": "a"}, {}, {"audio": "a"}]
    rows = [Row(str(i), "train", "", given, "", "") for i, given in enumerate(sources)]
    samples = [Sample(row.id, "train", "", {}) for row in rows]
    samples[4] = samples[4]._replace(sources={"label_map": "faulty.png"})
    for optional, expected in (
        ([], [0]),
        (["text"], [0, 1]),
        (["audio"], [0, 2]),
        (["audio", "text"], [0, 1, 2]),
    ):
        positions = usable_positions(rows, samples, "train", ["audio", "text"], optional)
        assert positions == expected
    with pytest.raises(
        ValueError, match=r"split 'val' has no sample with audio .*set val_fraction"
    ):
        usable_positions(rows, samples, "val", ["audio"], [])


def test_positions_end(tmp_path: Path) -> None:
    data = made(tmp_path, {"text": TextRecipe()})
    assert len(list(data)) == len(data) == 3  # type: ignore[call-overload]
    for position in (3, -1, (0, 3)):
        with pytest.raises(IndexError, match="out of range: there are 3 samples"):
            data[position]


def test_it_goes_to_another_process_with_its_texts_in_one_array(tmp_path: Path) -> None:
    data = pickle.loads(pickle.dumps(made(tmp_path, {"text": TextRecipe()})))
    assert [data[i]["text"] for i in range(3)] == TEXTS
    assert isinstance(data.sources["text"].content, np.ndarray)


def test_what_is_lacking_is_blank_and_not_present(tmp_path: Path) -> None:
    recipes = {"text": TextRecipe(), "audio": AudioRecipe(8000, 0.001)}
    data = made(tmp_path, recipes, optional=["text"])
    assert [data[i]["present"] for i in range(3)] == [{"text": i > 0} for i in range(3)]
    assert data[1]["audio"].tolist() == [100 / 32768] * 8
    assert (int(data[1]["label"]), int(data[1]["index"])) == (1, 7)


def test_views_are_drawn_for_each_modality_or_for_all_alike(tmp_path: Path) -> None:
    """A long sound loaded at a random position, under two names."""
    np.save(tmp_path / "ramp.npy", np.arange(30_000, dtype=np.int16))
    sound = AudioRecipe(8000, 0.001, crop="random")
    row = Row("0", "train", "", {"left": "ramp.npy", "right": "ramp.npy"}, "ok", "")
    label, index = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for aligned in (True, False):
        data = PairedDataset(
            tmp_path, {"left": sound, "right": sound}, [row], label, index, aligned=aligned
        )
        pairs = [data[epoch, 0] for epoch in range(5)]
        assert len({float(pair["left"][0]) for pair in pairs}) == 5
        assert all(bool((p["left"] == p["right"]).all()) == aligned for p in pairs)
        assert float(data[3, 0]["left"][0]) == float(pairs[3]["left"][0])


class Cropped(TextRecipe):
    """Larger in evaluation than in training, as images that are cropped are."""

    def blank(self, rng: np.random.Generator | None = None) -> str:
        return "whole" if rng is None else "part"


def test_a_blank_has_the_size_of_training_or_of_evaluation(tmp_path: Path) -> None:
    data = made(tmp_path, {"text": Cropped()}, optional=["text"])
    assert (data[0]["text"], data[4, 0]["text"]) == ("whole", "part")


def test_a_damaged_compact_form_is_named_with_the_remedy(tmp_path: Path) -> None:
    data = made(tmp_path, {"audio": AudioRecipe()})
    (tmp_path / "1.npy").write_bytes(b"none")
    with pytest.raises(RuntimeError, match=r"1.npy cannot be read .*call prepare_data\(\)"):
        data[1]
