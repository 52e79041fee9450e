import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

import fdkd_lightning as fdkd
from fdkd_lightning.data.embedded.digits import AVDigits
from fdkd_lightning.export import command
from fdkd_lightning.export.command import ExportCLI, export
from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.weights import load_student
from fdkd_lightning.training.command import FDKDCLI

DEMO = Path(__file__).parents[2] / "configs/demo"
QUIET = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    # It takes the longest of all that is done to the digits.
    "--data.audio_snr=null",
]
QUICK = "--formats=safetensors,hub"


@pytest.fixture(autouse=True)
def runs(demo_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the short runs, below the working directory."""
    shutil.copytree(demo_runs / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    return tmp_path / "runs/demo"


@pytest.fixture
def fdkd_export(digits_root: Path) -> Callable[..., None]:
    def run(name: str | Path, *more: str) -> None:
        path = DEMO / f"{name}.yaml" if isinstance(name, str) else name
        export(["export", f"--config={path}", f"--data.root={digits_root}", *QUIET, *more])

    return run


def digits(root: Path, modality: str) -> torch.Tensor:
    data = AVDigits(root, modalities=[modality])
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    found: torch.Tensor = data.on_after_batch_transfer(batch, 0)[modality]
    return found


def test_a_student_is_exported_without_teacher_file_and_with_its_record(
    runs: Path,
    digits_root: Path,
    fdkd_export: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.rmtree(runs / "unimodal_audio")
    fdkd_export("distill_visual", QUICK, "--data.modalities=[visual]")
    folder = runs / "distill_visual/export"
    assert {p.name for p in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    said = capsys.readouterr().out.splitlines()
    assert "ResNet, 85,594 parameters, from runs/demo/distill_visual/checkpoints/best.ckpt" in said
    assert sum("largest difference 0.0e+00" in line for line in said) == 2
    assert said[-1].endswith("hf upload USER/NAME runs/demo/distill_visual/export")
    content = torch.load(runs / "distill_visual/checkpoints/best.ckpt", weights_only=True)
    weights = {
        name.removeprefix("model."): value
        for name, value in content["state_dict"].items()
        if name.startswith("model.")
    }
    student = load_student(folder)
    assert student.state_dict().keys() == weights.keys()
    assert all(torch.equal(v, weights[n]) for n, v in student.state_dict().items())
    config = json.loads((folder / "config.json").read_text())
    assert config["class_names"] == [*AVDigits.class_names]
    assert config["inputs"]["tensors"] == {
        "visual": {"shape": ["N", 1, 32, 32], "dtype": "float32"}
    }
    card = ModelCard.load(folder / "README.md")
    assert "FDKDLoss" in card.text
    # As it was when training began; the file itself is gone.
    assert "sha256" in card.text
    assert {r.metric_name for r in card.data.eval_results} >= {"val/accuracy", "val/loss"}
    x = digits(digits_root, "visual")
    assert ExportedStudent.from_pretrained(folder)(x).logits.shape == (32, 10)


def test_best_is_exported_unless_told_otherwise_and_an_interrupted_run_too(
    runs: Path, fdkd_export: Callable[..., None]
) -> None:
    folder = runs / "unimodal_audio"
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    content["state_dict"]["model.net.fc.bias"].fill_(7)
    torch.save(content, folder / "checkpoints/last.ckpt")
    fdkd_export("unimodal_audio", "--formats=[safetensors]", "--folder=best")
    fdkd_export("unimodal_audio", '--formats=["safetensors"]', "--folder=last", "--ckpt_path=last")
    shutil.copy(folder / "checkpoints/last.ckpt", "mine.ckpt")
    (folder / "checkpoints/best.ckpt").unlink()
    fdkd_export("unimodal_audio", "--formats=safetensors", "--folder=own", "--ckpt_path=mine.ckpt")
    for name in ("best", "last", "own"):  # formats may be a list
        assert {p.name for p in Path(name).iterdir()} == {"config.json", "model.safetensors"}
    bias = {n: load_student(n).state_dict()["net.fc.bias"] for n in ("best", "last", "own")}
    assert (bias["last"] == 7).all()
    assert torch.equal(bias["own"], bias["last"])
    assert not (bias["best"] == 7).any()


def test_how_a_file_becomes_the_input_is_described() -> None:
    data: Any = SimpleNamespace(recipes={"visual": fdkd.ImageRecipe(size=128, augment=False)})
    text = command._read_by(data, "visual")
    assert text.startswith(", read by fdkd_lightning.data.preparation.recipe.image.ImageRecipe(")
    assert "size=128" in text
    assert command._read_by(data, "audio") == ""


def test_the_transform_can_begin_the_graph(
    runs: Path, digits_root: Path, fdkd_export: Callable[..., None]
) -> None:
    fdkd_export("unimodal_audio", "--formats=safetensors,torch_export", "--include_transform=true")
    folder = runs / "unimodal_audio/export"
    config = json.loads((folder / "config.json").read_text())
    takes = config["graph_inputs"]["tensors"]["audio"]
    assert takes["shape"] == ["N", "L"]
    assert config["graph_inputs"]["meaning"].endswith("before its transform")
    assert "LogMelSpectrogram for modality 'audio'" in config["inputs"]["meaning"]
    data = AVDigits(digits_root, modalities=["audio"])
    data.setup("test")
    waveforms = torch.stack([data.datasets["test"][i]["audio"] for i in range(3)])
    graph = torch.export.load(folder / "model.pt2").module()
    student = load_student(folder)(digits(digits_root, "audio")[:3])
    torch.testing.assert_close(graph(waveforms)["logits"], student.logits, rtol=1e-5, atol=1e-5)
    # Below, torch's graph has a guard: the last map would have one column.
    assert takes["L"]["torch_export"]["min"] == 4096
    for length in takes["L"]["torch_export"]["tried"]:
        x = torch.randn(2, length) / 10
        live = load_student(folder)(data.transforms["audio"](x)).logits
        torch.testing.assert_close(graph(x)["logits"], live, rtol=1e-5, atol=1e-5)


def test_the_runs_own_configuration_can_be_given_and_a_test_shows_in_the_card(
    runs: Path, digits_root: Path, fdkd_export: Callable[..., None]
) -> None:
    saved = runs / "distill_visual/logs/version_0/config.yaml"
    FDKDCLI(["test", f"--config={saved}", *QUIET])
    fdkd_export(saved, QUICK)
    card = ModelCard.load(runs / "distill_visual/export/README.md")
    found = {r.metric_name: r.metric_value for r in card.data.eval_results}
    logged = (runs / "distill_visual/logs/version_1/metrics.csv").read_text().splitlines()
    row = dict(zip(*(line.split(",") for line in logged), strict=True))
    assert found["test/accuracy"] == float(row["test/accuracy"])
    assert "run.json, the run's own record" in card.text
    assert "Run: 1 epoch in" in card.text
    assert str(Path.cwd()) not in card.text


def test_a_network_of_the_users_goes_with_the_trust_that_its_reader_gives(
    runs: Path, fdkd_export: Callable[..., None]
) -> None:
    Path("my_digits.py").write_text("from fdkd_lightning import ResNet\nclass Mine(ResNet): pass\n")
    fdkd_export("distill_visual", QUICK, "--model.student.class_path=my_digits.Mine")
    folder = runs / "distill_visual/export"
    assert "trust=['my_digits']" in (folder / "README.md").read_text()
    assert type(load_student(folder, trust=["my_digits"])).__name__ == "Mine"


def failure(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str], name: str | Path, *more: str
) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        run(name, *more)
    assert error.value.code not in (None, 0)
    return f"{capsys.readouterr().err}\n{error.value}"


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--ckpt_path=nowhere.ckpt"], ["ckpt_path='nowhere.ckpt'", "train first"]),
        (["--trainer.default_root_dir=new"], ["ckpt_path='best'", "train first"]),
        (["--formats=onx"], ["formats=['onx']", "safetensors, torch_export, onnx, hub"]),
        (["--model.student.in_chans=3"], ["best.ckpt", "does not fit the model"]),
        (["--data.modalities=[audio]"], ["no modality 'visual'", "only: audio"]),
        (["--formats"], ["formats"]),
    ],
)
def test_a_mistake_is_named_with_its_remedy(
    runs: Path,
    fdkd_export: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    parts: list[str],
) -> None:
    said = failure(fdkd_export, capsys, "distill_visual", QUICK, *more)
    assert all(part in said for part in parts), said
    assert not (runs / "distill_visual/export").exists()


def test_a_mistake_in_its_own_arguments_is_named_with_its_remedy(
    runs: Path, fdkd_export: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command up to the method of its name, which each mistake is then made with.
    made: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(ExportCLI, "_run_subcommand", lambda cli, command: made.append(cli))
        fdkd_export("distill_visual", QUICK)
    [cli] = made
    cli.before_export()
    monkeypatch.setitem(sys.modules, "onnx", None)
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    right = {"ckpt_path": "runs/demo/distill_visual/checkpoints/best.ckpt", "formats": "hub"}
    for mistake, parts in (
        ({"formats": "onnx"}, ['pip install "fdkd_lightning[export]"']),
        ({"include_transform": True}, ["no transform of 'visual'", "leave it out"]),
        ({"study": "nowhere"}, ["nowhere/results.csv", "give the folder of a finished study"]),
        ({"folder": "full"}, ["folder='full'", "give another"]),
    ):
        with pytest.raises((ValueError, OSError)) as error:
            cli.trainer.export(cli.model, cli.datamodule, **right | mistake)
        assert all(part in str(error.value) for part in parts), error.value
        assert not (runs / "distill_visual/export").exists()


def test_for_a_module_of_another_kind_the_function_is_named(
    fdkd_export: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"class_path": "lightning.pytorch.demos.boring_classes.BoringModel"}
    Path("boring.yaml").write_text(
        yaml.safe_dump({"model": model, "data": {"class_path": "fdkd_lightning.AVDigits"}})
    )
    checkpoint = next(Path("runs").rglob("best.ckpt"))
    said = failure(fdkd_export, capsys, Path("boring.yaml"), f"--ckpt_path={checkpoint}")
    assert "BoringModel is no UnimodalModule or DistillationModule" in said
    assert "fdkd_lightning.export_student" in said
