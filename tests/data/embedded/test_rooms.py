import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from fdkd_lightning.cli import main
from fdkd_lightning.data.embedded.dense import DenseDataset
from fdkd_lightning.data.embedded.rooms import Rooms

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL: dict[str, Any] = {"size": (24, 32), "scenes": (5, 2, 2)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    rooms(folder).prepare_data()
    return folder


def rooms(root: Path | None, **arguments: Any) -> Rooms:
    return Rooms(root, **SMALL | arguments)


def split(root: Path, name: str = "train", **arguments: Any) -> DenseDataset:
    return rooms(root, **arguments).make_dataset(name)


def has_label(dataset: DenseDataset) -> list[int]:
    kept = (dataset.label != 255).any((1, 2))
    assert isinstance(kept, np.ndarray)
    return dataset.index[kept].tolist()


def test_a_batch_is_as_documented(root: Path) -> None:
    data = rooms(root, batch_size=2, boxes=True)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    shapes = {name: tuple(x.shape) for name, x in batch.items()}
    assert shapes == {
        "visual": (2, 3, 24, 32),
        "depth": (2, 1, 24, 32),
        "label": (2, 24, 32),
        "index": (2,),
        "boxes": (2, 16, 5),
    }
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    assert {*batch["label"].unique().tolist()} <= {-100, *range(8)}
    assert 0 <= batch["visual"].min() < batch["visual"].max() <= 1
    holes = batch["depth"] == 0
    assert 0.3 < batch["depth"][~holes].min() < batch["depth"].max() < 20
    assert 0 < holes.sum() < 0.3 * holes.numel()
    seen = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(seen["depth"] == 0, holes)
    assert seen["visual"].min() < 0


def test_no_sample_is_in_two_splits_and_each_has_its_own_index(root: Path) -> None:
    found = {name: split(root, name) for name in ("train", "val", "test")}
    index = [dataset.index.tolist() for dataset in found.values()]
    assert index == [[0, 1, 2, 3, 4], [5, 6], [7, 8]]
    images = np.concatenate([dataset.maps["visual"].values for dataset in found.values()])
    assert len({image.tobytes() for image in images}) == 9


def test_only_the_selected_entries_are_loaded(root: Path) -> None:
    assert {*split(root, modalities=["depth"])[0]} == {"depth", "label", "index"}


def test_labels_and_training_scenes_are_nested_and_drawn_by_the_seed(root: Path) -> None:
    one, three = (has_label(split(root, labelled=n)) for n in (1, 3))
    assert (len(one), len(three)) == (1, 3)
    assert {*one} < {*three}
    assert has_label(split(root, labelled=3)) == three
    assert split(root, labelled=3).index.tolist() == [0, 1, 2, 3, 4]
    draws = [tuple(has_label(split(root, labelled=1, seed=seed))) for seed in range(12)]
    assert len({*draws}) > 1
    few, more = (split(root, train_size=n).index.tolist() for n in (2, 4))
    assert (len(few), len(more)) == (2, 4)
    assert {*few} < {*more}
    assert len(has_label(split(root, "val", labelled=1))) == 2


def test_an_unlabelled_scene_is_void_everywhere_and_keeps_its_inputs(root: Path) -> None:
    few, full = split(root, labelled=1), split(root)
    for i in range(5):
        assert torch.equal(few[i]["visual"], full[i]["visual"])
        if int(few[i]["index"]) not in has_label(few):
            assert (few[(3, i)]["label"] == -100).all()


def test_stored_scenes_are_not_made_again_and_others_have_another_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fdkd_lightning.data.embedded.rooms.build_rooms")
    rooms(root).prepare_data()
    paths = {
        rooms(root, **other).path
        for other in ({}, {"size": (24, 33)}, {"scenes": (6, 2, 2)}, {"build_seed": 1})
    }
    assert len(paths) == 4
    with pytest.raises(FileNotFoundError, match="call prepare_data"):
        rooms(root, build_seed=1).setup("fit")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 4)}, "size=0 must be at least 1"),
        ({"size": 48}, "size=48 must be height and width"),
        ({"scenes": (1, 1)}, "scenes=.* must be three numbers"),
        ({"scenes": (1, 0, 1)}, "scenes=0 must be at least 1"),
        ({"train_size": 6}, "train_size=6 must be from 1 to 5"),
        ({"labelled": 6}, "labelled=6 must be from 1 to 5"),
        ({"train_size": 2, "labelled": 3}, "labelled=3 must be from 1 to 2"),
        ({"build_seed": -1}, "build_seed=-1 must be at least 0"),
        ({"scales": ()}, "scales=.* must hold"),
        ({"crop": (4, 0)}, "crop=0 must be at least 1"),
        ({"modalities": ["audio"]}, "modalities="),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rooms(None, **arguments)


def test_wrong_types_are_named() -> None:
    with pytest.raises(TypeError, match="boxes=1 must be True or False"):
        rooms(None, boxes=1)
    with pytest.raises(TypeError, match=r"build_seed=1\.5 must be a whole number"):
        rooms(None, build_seed=1.5)


def test_a_detector_of_torchvision_takes_images_and_boxes(root: Path) -> None:
    data = rooms(root, boxes=True, batch_size=4)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    targets = Rooms.detection_targets(batch["boxes"])
    assert [len(t["boxes"]) for t in targets] == (batch["boxes"][..., 4] >= 0).sum(1).tolist()
    labels = torch.cat([target["labels"] for target in targets])
    assert labels.min() >= 1
    assert labels.max() <= 5
    # The first part of each detector.
    transform = GeneralizedRCNNTransform(24, 64, [0.5] * 3, [0.25] * 3)
    images, resized = transform(list(batch["visual"]), targets)
    assert images.tensors.shape[:2] == (4, 3)
    assert [len(t["labels"]) for t in resized] == [len(t["labels"]) for t in targets]
    assert all((t["boxes"][:, 2:] > t["boxes"][:, :2]).all() for t in targets)


def test_boxes_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match=r"boxes are \[1, 2, 4\]: pass \[N, M, 5\]"):
        Rooms.detection_targets(torch.zeros(1, 2, 4))
    with pytest.raises(TypeError, match="boxes is of type list"):
        Rooms.detection_targets([])  # type: ignore[arg-type]


def test_a_shipped_teacher_and_its_student_train_on_odd_sides_with_few_labels(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    for run in ("unimodal_depth", "distill_visual"):
        main(
            [
                "fit",
                f"--config={CONFIGS}/rooms/{run}.yaml",
                f"--data.root={root}",
                "--data.size=[24, 32]",
                "--data.scenes=[5, 2, 2]",
                "--data.crop=[17, 23]",
                "--data.batch_size=2",
                "--data.labelled=1",
                "--trainer.accelerator=cpu",
                "--trainer.max_epochs=1",
                "--trainer.enable_progress_bar=false",
                "--trainer.enable_model_summary=false",
            ]
        )
        path = f"runs/rooms/{run}/checkpoints/best.ckpt"
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in weights.values())
        # All batches but one are void; one of a single image is left out.
        logged = Path(f"runs/rooms/{run}/logs/version_0/metrics.csv").read_text()
        assert "val/mean_iou" in logged
        assert ("train/low" in logged) == (run == "distill_visual")
