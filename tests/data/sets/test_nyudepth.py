import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fdkd_lightning.cli import main
from fdkd_lightning.data.paired import PairedDataset
from fdkd_lightning.data.preparation.recipe import DepthRecipe, Recipe, SceneImageRecipe
from fdkd_lightning.data.sets.nyu_classes import NYU_13, NYU_40, coarse_class
from fdkd_lightning.data.sets.nyudepth import NYUDepthV2, NYUDepthV2Coarse
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.models.deeplab import DeepLabV3Plus
from fdkd_lightning.types import Output

Rooms = list[NDArray[np.int64]]

Write = Callable[..., Rooms]
CONFIGS = Path(__file__).parents[3] / "configs"
SIZE = (48, 64)
FORMS = {
    "labeled": ["depth", "raw_depth"],
    "unpacked": ["hha"],
    "sagate": ["hha", "depth"],
    "esanet": ["depth", "raw_depth"],
    "listed": ["depth"],
}


def recipes(**arguments: Any) -> dict[str, Recipe]:
    arguments = {"size": SIZE} | arguments
    depth = DepthRecipe(unit=1 / 5000, **arguments)
    image = SceneImageRecipe(**arguments)
    return {"visual": image, "hha": image, "depth": depth, "raw_depth": depth}


def nyu(root: Path, kind: type[NYUDepthV2] = NYUDepthV2, **arguments: Any) -> NYUDepthV2:
    settings: dict[str, Any] = {"val_fraction": 0.3, "recipes": recipes()}
    return kind(root, **settings | arguments)


def dataset(data: NYUDepthV2, split: str) -> PairedDataset:
    data.prepare_data()
    return data.make_dataset(split)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_whole_pictures_and_their_classes(
    tmp_path: Path, write_nyu: Write, form: str
) -> None:
    rooms = write_nyu(tmp_path, form)
    modalities = ["visual", *FORMS[form]]
    data = nyu(tmp_path, modalities=modalities)
    test = dataset(data, "test")
    assert test.index.tolist() == [9, 10, 11]
    for position, classes in enumerate(rooms[9:]):
        sample = test[position]
        assert sample["visual"].shape == (3, *SIZE)
        for modality in FORMS[form]:
            assert sample[modality].shape == ((3 if modality == "hha" else 1), *SIZE)
        expected = classes.copy()
        if form == "listed":  # its masks leave out a margin
            inner = np.full(SIZE, -100)
            inner[4:-5, 6:-6] = classes[4:-5, 6:-6]
            expected = inner
        assert np.array_equal(sample["label"].numpy(), expected)
        if "depth" in sample:
            assert sample["depth"][0][classes == 3].unique().tolist() == pytest.approx([3.25])


@pytest.mark.parametrize("form", FORMS)
def test_color_depth_and_label_keep_together_in_every_view(
    tmp_path: Path, write_nyu: Write, form: str
) -> None:
    """What the colors and distances say is what the label says, but at edges and in void."""
    write_nyu(tmp_path, form)
    train = dataset(nyu(tmp_path, modalities=["visual", *FORMS[form]]), "train")
    views = [train[epoch, i] for epoch in range(6) for i in range(3)]
    assert any(not torch.equal(view["label"], views[0]["label"]) for view in views)
    wrong = seen = 0
    for view in views:
        label = view["label"]
        said = [by_color(view["visual"])]
        if "hha" in view:
            said.append(by_color(1 - view["hha"]))
        if "depth" in view:
            said.append(by_distance(view["depth"][0]))
        labelled = label != -100
        # The nearest pixel's distance and label are the very same place.
        if "depth" in view:
            assert torch.equal(said[-1][labelled], label[labelled])
        for guess in said:
            wrong += int((guess != label)[labelled].sum())
            seen += int(labelled.sum())
    # Where classes meet, interpolated colors are of neither.
    assert seen > 10_000
    assert wrong / seen < 0.06


COLORS = {0: (250, 240, 20), 1: (20, 200, 60), 3: (200, 30, 40), 39: (30, 60, 250)}


def by_color(picture: Tensor) -> Tensor:
    """The class whose color is nearest."""
    classes = torch.tensor([*COLORS])
    colors = torch.tensor([*COLORS.values()]).float() / 255
    distances = (picture[None] - colors[:, :, None, None]).square().sum(1)
    return classes[distances.argmin(0)]


def by_distance(depth: Tensor) -> Tensor:
    classes = torch.tensor([0, 1, 3, 39])
    metres = torch.tensor([4.0, 2.5, 3.25, 1.0])
    return classes[(depth[None] - metres[:, None, None]).abs().argmin(0)]


def test_the_13_classes_are_made_of_the_40(tmp_path: Path, write_nyu: Write) -> None:
    rooms = write_nyu(tmp_path, "labeled")
    fine, coarse = (dataset(nyu(tmp_path, kind), "test") for kind in (NYUDepthV2, NYUDepthV2Coarse))
    assert coarse[0]["label"].unique().tolist() == [-100, 0, 4, 6, 11]  # bed floor objects wall
    expected = fine[0]["label"].apply_(coarse_class)
    assert torch.equal(coarse[0]["label"], expected)
    assert np.array_equal(rooms[9] == 3, (coarse[0]["label"] == NYU_13.index("bed")).numpy())
    assert NYUDepthV2Coarse(tmp_path).class_names == NYU_13
    assert NYUDepthV2(tmp_path).class_names == NYU_40


def test_raw_depth_has_the_holes_that_depth_has_not(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    data = nyu(tmp_path, modalities=["visual", "depth", "raw_depth"], batch_size=2)
    data.prepare_data()
    data.setup("test")
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert not batch["raw_depth"][..., :5].any()
    assert batch["depth"][..., :5].all()
    assert torch.equal(batch["raw_depth"][..., 5:], batch["depth"][..., 5:])
    assert batch["label"].shape == (2, *SIZE)


def test_whole_scenes_validate(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    data = nyu(tmp_path, val_fraction=None)  # a tenth of nine pictures: one scene of three
    val = dataset(data, "val").index.tolist()
    assert val in ([0, 1, 2], [3, 4, 5], [6, 7, 8])
    assert len(dataset(data, "train")) == 6
    assert dataset(nyu(tmp_path, val_fraction=None, split_seed=0), "val").index.tolist() == val


def test_without_scenes_single_pictures_validate(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "listed")
    data = nyu(tmp_path, val_fraction=0.3)
    assert len(dataset(data, "val")) == 3
    assert len(dataset(data, "train")) == 6


def test_colour_and_depth_are_the_modalities_unless_others_are_named(tmp_path: Path) -> None:
    assert NYUDepthV2(tmp_path).modalities == ("visual", "depth")
    assert NYUDepthV2(tmp_path, modalities=["hha"]).modalities == ("hha",)
    with pytest.raises(ValueError, match=r"modalities=\['audio'\] must be a list .*'raw_depth'"):
        NYUDepthV2(tmp_path, modalities=["audio"])


def test_a_modality_that_the_form_lacks_is_named(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "unpacked")
    with pytest.raises(
        ValueError, match=r"'depth' is not in .*RGB.*choose from \['visual', 'hha'\]"
    ):
        nyu(tmp_path).prepare_data()


def test_a_folder_without_the_set_says_what_it_is_to_hold(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none of the supported layouts"):
        nyu(tmp_path).prepare_data()


def test_views_that_differ_are_refused(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    mixed = recipes() | {"depth": DepthRecipe(size=SIZE, crop=(32, 32))}
    with pytest.raises(ValueError, match=r"'depth' has the view .*give both the same size"):
        nyu(tmp_path, recipes=mixed).prepare_data()


def test_the_label_follows_the_view_of_the_modalities(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    data = nyu(tmp_path, recipes=recipes(crop=(32, 40)), batch_size=3)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["visual"].shape == (3, 3, 32, 40)
    assert batch["label"].shape == (3, 32, 40)
    assert next(iter(data.val_dataloader()))["label"].shape == (3, *SIZE)


def test_pictures_that_lose_their_label_are_all_void(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    train = dataset(nyu(tmp_path, labelled=2), "train")
    labelled = [bool((train[0, i]["label"] != -100).any()) for i in range(len(train))]
    assert sum(labelled) == 2
    assert train[0, labelled.index(False)]["label"].shape == SIZE


def test_drawing_classes_equally_is_refused(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    with pytest.raises(ValueError, match="balance=True"):
        nyu(tmp_path, balance=True)


def test_damage_is_recorded_and_left_out(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "listed")
    (tmp_path / "masks/0.png").unlink()
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "depth/1.png")
    data = nyu(tmp_path, min_coverage=0.5)
    report = data.prepare()
    counts = report.statuses["train"] + report.statuses["val"]
    assert counts == {"ok": 7, "missing": 1, "undecodable": 1}
    assert "8 bits cannot hold a distance" in str(report)
    rows = [*dataset(data, "train").index.tolist(), *dataset(data, "val").index.tolist()]
    assert sorted(rows) == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("table", ["train.txt", "val.txt"])
def test_a_picture_that_is_named_twice_is_an_error(
    tmp_path: Path, write_nyu: Write, table: str
) -> None:
    write_nyu(tmp_path, "listed")
    with (tmp_path / table).open("a") as file:
        file.write("rgb/0.png\tmasks/0.png\tdepth/0.png\n")
    with pytest.raises(ValueError, match=r"id 'rgb/0.png' is that of .*train.txt, line 1 too"):
        nyu(tmp_path).prepare_data()


def test_nothing_is_held_in_memory(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    train = dataset(nyu(tmp_path), "train")
    arrays = [v for v in vars(train).values() if isinstance(v, Tensor | np.ndarray)]
    assert sum(a.nbytes for a in arrays) == 2 * 8 * len(train)  # label and index
    assert (tmp_path / "prepared").is_dir()


SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=1",
    "--data.batch_size=3",
    "--data.num_workers=0",
    "--data.val_fraction=0.3",
]


def small(config: str) -> str:
    """A shipped configuration, for pictures and a network that are tiny."""
    text = (CONFIGS / f"nyudepth/{config}.yaml").read_text()
    text = re.sub("resnet18", "tu-test_resnet", text)
    text = re.sub("pretrained: true", "pretrained: false", text)
    content = yaml.safe_load(text)
    size = {"size": [*SIZE]}
    image = {"class_path": "fdkd_lightning.data.SceneImageRecipe", "init_args": size}
    content["data"]["init_args"]["recipes"] = {
        "visual": image,
        "hha": image,
        "depth": {
            "class_path": "fdkd_lightning.data.DepthRecipe",
            "init_args": size | {"unit": 0.0002},
        },
    }
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    ("form", "teacher", "student"),
    [
        ("labeled", "unimodal_visual", "distill_depth"),
        ("unpacked", "unimodal_hha", "distill_visual_from_hha"),
    ],
)
def test_a_shipped_teacher_and_its_student_train_and_are_tested(
    form: str,
    teacher: str,
    student: str,
    tmp_path: Path,
    write_nyu: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "nyu"
    write_nyu(root, form)
    for config in (teacher, student):
        Path(f"{config}.yaml").write_text(small(config))
        arguments = [f"--config={config}.yaml", f"--data.root={root}"]
        main(["prepare", f"{config}.yaml", f"--root={root}", "--val_fraction=0.3"])
        assert "train: 6 of 6 samples" in capsys.readouterr().out
        main(["fit", *arguments, *SHORT])
        stored = torch.load(f"runs/nyudepth/{config}/checkpoints/best.ckpt", weights_only=True)
        weights = stored["state_dict"]
        assert all(value.isfinite().all() for value in weights.values())
        first = next(w for n, w in weights.items() if n.startswith("model.net.") and w.ndim == 4)
        assert first.shape[1] == (1 if config.endswith("_depth") else 3)
        monitored = [v for v in stored["callbacks"].values() if v.get("monitor")]
        assert monitored[0]["monitor"] == "val/mean_iou"
    logged = Path(f"runs/nyudepth/{student}/logs/version_0/metrics.csv").read_text()
    assert "train/low" in logged
    assert "train/align" not in logged
    if form != "labeled":  # evaluation does not depend on it
        return
    capsys.readouterr()
    main(["test", *arguments, *SHORT])
    assert "test/mean_iou" in capsys.readouterr().out
    main(["predict", *arguments, *SHORT])
    predicted = Path(f"runs/nyudepth/{student}/predictions")
    written = {f"{index}{kind}.png" for index in (9, 10, 11) for kind in ("", "_overlay")}
    assert {path.name for path in predicted.iterdir()} == written
    assert np.asarray(Image.open(predicted / "9.png")).shape == SIZE


def test_an_overlay_takes_the_configuration_of_rooms_to_this_set(
    tmp_path: Path, write_nyu: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "nyu"
    write_nyu(root, "labeled")
    overlay = yaml.safe_load(small("unimodal_depth"))
    classes = {"init_args": {"num_classes": 40}}
    overlay["model"] = {
        "init_args": {
            "model": classes,
            "metrics": {"mean_iou": classes, "accuracy": classes},
        }
    }
    Path("nyu.yaml").write_text(yaml.safe_dump({part: overlay[part] for part in ("model", "data")}))
    rooms = f"--config={CONFIGS}/rooms/unimodal_depth.yaml"
    main(["fit", rooms, "--config=nyu.yaml", f"--data.root={root}", *SHORT])
    stored = torch.load("runs/rooms/unimodal_depth/checkpoints/best.ckpt", weights_only=True)
    assert stored["state_dict"]["model.classifier.bias"].shape == (40,)


def criteria_of_the_table() -> dict[str, Any]:
    """Method -> its criterion, as the table's configurations have it."""
    table = yaml.safe_load((CONFIGS / "nyudepth/table3.yaml").read_text())
    found = {}
    for name, method in table["methods"].items():
        files = [arg for arg in method["args"] if arg.endswith(".yaml")]
        content = (CONFIGS.parent / files[-1].replace("$student", "visual")).read_text()
        arguments = yaml.safe_load(content)["model"]["init_args"]
        if "criterion" in arguments:
            found[name] = arguments["criterion"]
    return found


@pytest.fixture(scope="module")
def outputs() -> tuple[Output, Output]:
    """Of a student of images, with its graph, and of a teacher of depth."""
    torch.manual_seed(0)
    encoder = "tu-test_resnet"
    student = DeepLabV3Plus(5, encoder)(torch.randn(2, 3, 64, 64))
    with torch.no_grad():
        return student, DeepLabV3Plus(5, encoder, in_chans=1)(torch.randn(2, 1, 64, 64))


@pytest.mark.parametrize("method", criteria_of_the_table())
def test_each_method_of_the_table_compares_maps(
    outputs: tuple[Output, Output], method: str
) -> None:
    student, teacher = outputs
    torch.manual_seed(0)
    label = torch.randint(0, 5, (2, 64, 64))
    label[:, :20] = -100
    parser = ArgumentParser()
    parser.add_subclass_arguments(DistillationLoss, "criterion")
    config = parser.parse_object({"criterion": criteria_of_the_table()[method]})
    criterion = parser.instantiate(config).criterion
    criterion.build(student, teacher)
    terms = criterion(student, teacher, label)
    total = sum(terms.values())
    reaches = partial(torch.autograd.grad, total, allow_unused=True, retain_graph=True)
    (gradient,), (of_logits,) = reaches(student.features), reaches(student.logits)
    of_maps = reaches(student.maps)
    reached = [g for g in (gradient, of_logits, *of_maps) if g is not None]
    assert all(g.isfinite().all() for g in reached)
    assert any(g.abs().sum() > 0 for g in reached)
