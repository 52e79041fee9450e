import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import ConvMlp

from fdkd_lightning.cli import main
from fdkd_lightning.data.embedded.indian_pines import CLASSES, IndianPines
from fdkd_lightning.models.feature_model import FeatureModel
from fdkd_lightning.models.layers import Layers

ROOT = Path(__file__).parents[3]
SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.fixture(scope="module")
def scene() -> np.ndarray[Any, Any]:
    """The real scene, from the installed package."""
    return np.load(IndianPines().folder / "Indian_pines_corrected.npy", allow_pickle=False)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small scene in the package's form: stripes of the 16 classes, each 6 rows high."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(17, dtype=np.uint8), 6)[:, None].repeat(48, 1)
    values = rng.integers(900, 9000, (*label.shape, 200), np.uint16)
    np.save(tmp_path / "Indian_pines_gt.npy", label)
    np.save(tmp_path / "Indian_pines_corrected.npy", values)
    return tmp_path


def pixels_of(data: IndianPines, split: str) -> np.ndarray[Any, Any]:
    """Row and column in the scene of each pixel that the split's samples hold."""
    inner = np.arange(data.margin, data.block - data.margin)
    across = 145 // data.block
    starts = [
        (data.block * (b // across), data.block * (b % across)) for b in data.blocks_of(split)
    ]
    return np.array([(y + i, x + j) for y, x in starts for i in inner for j in inner])


@pytest.mark.parametrize(("block", "margin", "folds"), [(12, 1, 4), (14, 2, 3)])
def test_splits_hold_no_common_pixel_and_are_apart_by_the_margin(
    scene: np.ndarray[Any, Any], block: int, margin: int, folds: int
) -> None:
    data = IndianPines(block=block, margin=margin, folds=folds)
    data.setup("fit")
    data.setup("test")
    where = {}
    for split in ("train", "val", "test"):
        dataset = data.datasets[split]
        where[split] = pixels_of(data, split)
        # The samples hold exactly these pixels: undo the standardisation.
        values = dataset.maps["infrared"].values.reshape(-1, 138)
        y, x = where[split].T
        raw = scene[y, x, 62:].astype(float)
        assert len(values) == len(raw)
        centred, expected = values - values.mean(0), (raw - raw.mean(0))
        slope = (centred * expected).sum(0) / (centred**2).sum(0)
        np.testing.assert_allclose(centred * slope, expected, atol=0.1)  # they are integers
    for split in ("val", "test"):
        for other in {"train", "val", "test"} - {split}:
            far = np.full((145 + 8, 145 + 8), False)
            y, x = where[other].T
            # No pixel of the other split within 2 margins of one of this split.
            for dy in range(-2 * margin, 2 * margin + 1):
                for dx in range(-2 * margin, 2 * margin + 1):
                    far[y + dy + 4, x + dx + 4] = True
            y, x = where[split].T
            assert not far[y + 4, x + 4].any()


@pytest.mark.parametrize("fold", range(4))
def test_every_class_has_pixels_in_every_split_of_every_fold(fold: int) -> None:
    data = IndianPines(fold=fold)
    blocks = [set(data.blocks_of(split)) for split in ("train", "val", "test")]
    assert sorted(map(len, blocks)) == [36, 36, 72]
    assert len(set.union(*blocks)) == 144
    for split in ("train", "val", "test"):
        counts = np.bincount(data.read_split(split).label.ravel(), minlength=256)
        assert counts[:12].min() >= 14
        assert counts[12:255].sum() == 0


def test_each_fold_is_tested_once_and_other_seeds_split_otherwise() -> None:
    tests = [set(IndianPines(fold=fold).blocks_of("test")) for fold in range(4)]
    assert len(set.union(*tests)) == 144
    assert tests[0] != set(IndianPines(split_seed=1).blocks_of("test"))
    assert tests[0] == set(IndianPines(seed=5).blocks_of("test"))


def test_other_classes_are_void_and_the_blocks_stay_where_they_are() -> None:
    data, chosen = IndianPines(), IndianPines(classes=["wheat", "corn"])
    assert (chosen.class_names, chosen.num_classes) == (("wheat", "corn"), 2)
    for split in ("train", "val", "test"):
        assert list(data.blocks_of(split)) == list(chosen.blocks_of(split))
        every, two = data.read_split(split).label, chosen.read_split(split).label
        expected = np.full_like(every, 255)
        expected[every == 9], expected[every == 2] = 0, 1
        assert np.array_equal(two, expected)
        assert {*two.flat} == {0, 1, 255}


def test_classes_are_those_of_at_least_200_pixels() -> None:
    label = np.load(IndianPines().folder / "Indian_pines_gt.npy", allow_pickle=False)
    counts = np.bincount(label.ravel())
    assert [k for k in range(1, 17) if counts[k] >= 200] == [*CLASSES]


def test_channels_are_standardised_by_the_training_blocks_alone(small: Path) -> None:
    data = IndianPines(small, block=6, margin=0, folds=3)
    train = data.read_split("train").maps
    for name, channels in (("visible", 3), ("infrared", 138)):
        values = train[name].values.astype(np.float64)
        assert values.shape[-1] == channels
        np.testing.assert_allclose(values.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(values.std((0, 1, 2)), 1, atol=1e-5)
    # Other values in the test blocks change nothing in the training blocks.
    path = small / "Indian_pines_corrected.npy"
    scene = np.load(path)
    for b in data.blocks_of("test"):
        scene[6 * (b // 8) : 6 * (b // 8) + 6, 6 * (b % 8) : 6 * (b % 8) + 6] = 60_000
    np.save(path, scene)
    again = IndianPines(small, block=6, margin=0, folds=3)
    assert np.array_equal(again.read_split("train").maps["visible"].values, train["visible"].values)
    assert again.read_split("test").maps["visible"].values.mean() > 5


def test_visible_channels_are_means_of_their_bands(small: Path) -> None:
    options: dict[str, Any] = {"block": 6, "margin": 0, "folds": 3}
    one = IndianPines(small, visible=((0, 2), (5, 6)), infrared=(100, 101), **options)
    scene = np.load(small / "Indian_pines_corrected.npy").astype(float)
    dataset = one.read_split("train")
    assert dataset[0]["visible"].shape == (2, 6, 6)
    assert dataset[0]["infrared"].shape == (1, 6, 6)
    first = int(one.blocks_of("train")[0])
    tile = scene[6 * (first // 8) :, 6 * (first % 8) :][:6, :6, :2].mean(-1)
    found = dataset[0]["visible"][0].numpy()
    assert np.corrcoef(found.ravel(), tile.ravel())[0, 1] == pytest.approx(1)


def test_a_batch_is_as_documented_and_few_labels_cover_the_classes() -> None:
    data = IndianPines(batch_size=5, labelled=12)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    shapes = {name: tuple(x.shape) for name, x in batch.items()}
    assert shapes == {
        "visible": (5, 3, 10, 10),
        "infrared": (5, 138, 10, 10),
        "label": (5, 10, 10),
        "index": (5,),
    }
    label = data.datasets["train"].label
    assert (label != 255).any((1, 2)).sum() == 12
    assert {*np.unique(label)} == {*range(12), 255}
    other = IndianPines(labelled=12, seed=1).make_dataset("train").label
    assert not np.array_equal(other, label)
    whole = IndianPines().make_dataset("train").label
    kept = (label != 255).any((1, 2))
    assert np.array_equal(label[kept], whole[kept])
    assert torch.isfinite(batch["infrared"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 2}, "folds=2 must be at least 3"),
        ({"fold": 4}, "fold=4 must be from 0 to 3"),
        ({"margin": -1}, "margin=-1 must be at least 0"),
        ({"block": 4, "margin": 2}, "block=4 must be at least 5"),
        ({"visible": ()}, r"visible=\(\) must be pairs of bands"),
        ({"visible": ((3,),)}, r"visible: \(3,\) must be two bands"),
        ({"visible": ((3, 3),)}, r"visible\[1\]=3 must be from 4 to 200"),
        ({"infrared": (62, 201)}, r"infrared\[1\]=201 must be from 63 to 200"),
        ({"split_seed": -1}, "split_seed=-1 must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndianPines(**arguments)


def test_blocks_too_large_for_a_class_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fold \d has no pixel of '.*': decrease block=29"):
        IndianPines(block=29).prepare_data()


def test_missing_damaged_and_foreign_files_are_named(small: Path) -> None:
    path = small / "Indian_pines_gt.npy"
    options: dict[str, Any] = {"block": 6, "margin": 0, "folds": 3}
    good = path.read_bytes()
    np.save(path, np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match=r"its labels are \[3, 3\], not"):
        IndianPines(small, **options).prepare_data()
    np.save(path, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="holds float64, not integers"):
        IndianPines(small, **options).prepare_data()
    np.save(path, np.array([None]), allow_pickle=True)
    with pytest.raises(
        ValueError, match=r"Indian_pines_gt\.npy is no NumPy file .* without pickle"
    ):
        IndianPines(small, **options).prepare_data()
    path.write_bytes(good[:60])
    with pytest.raises(ValueError, match=r"Indian_pines_gt\.npy is no NumPy file"):
        IndianPines(small, **options).prepare_data()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"Indian_pines_gt\.npy does not exist: set root"):
        IndianPines(small, **options).prepare_data()


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdkd_lightning.ops.optional.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs the package tensorly: .*\[pines\]"):
        IndianPines().prepare_data()


def test_the_guides_overlay_takes_the_configuration_of_rooms_to_indian_pines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    guide = (ROOT / "examples/guides/data_sets.md").read_text()
    [overlay] = re.findall(r"```yaml\n(.*?)```", guide, re.S)
    Path("pines.yaml").write_text(overlay)
    config = f"--config={ROOT}/configs/rooms/unimodal_depth.yaml"
    main(["fit", config, "--config=pines.yaml", *SHORT])
    stored = torch.load("runs/indian_pines/fpn/checkpoints/best.ckpt", weights_only=True)
    assert stored["state_dict"]["model.encoder.net.conv1.weight"].shape[1] == 138
    assert stored["state_dict"]["model.classifier.bias"].shape == (12,)


def test_a_shipped_student_trains_with_few_labelled_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    teacher = FeatureModel(ConvMlp(138, 64, 12), Layers("fc2:input"))
    path = Path("runs/indian_pines/unimodal_infrared/checkpoints/best.ckpt")
    path.parent.mkdir(parents=True)
    torch.save(teacher.state_dict(), path)
    config = f"--config={ROOT}/configs/indian_pines/distill_visible.yaml"
    main(["fit", config, "--data.labelled=12", *SHORT])
    logged = Path("runs/indian_pines/distill_visible/logs/version_0/metrics.csv").read_text()
    assert "val/mean_iou" in logged
    assert "train/low" in logged
