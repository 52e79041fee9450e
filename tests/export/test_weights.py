import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from export_networks import KINDS, Own, case, elsewhere, expect
from torch import nn

from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.standalone import prepare
from fdkd_lightning.export.weights import (
    build_network,
    load_student,
    untrusted,
    write_config,
    write_weights,
)
from fdkd_lightning.models import FeatureModel, Layers, NgramNet, PretrainedModel

ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "spectrogram": ("ResNet", {"num_classes": 10, "in_chans": 1, "channels": [8, 8, 16, 16]}),
    "picture": ("ResNet", {"num_classes": 10, "in_chans": 3, "channels": [8, 8, 16, 16]}),
    "frames": ("models.ResNet", {"num_classes": 10, "channels": [8, 8, 16, 16]}),
    "bytes": ("NgramNet", {"num_classes": 8}),
    "timm": ("TimmModel", {"name": "test_efficientnet", "num_classes": 5, "pretrained": True}),
    "bert": ("TransformersModel", {"num_classes": 5, "source": "nowhere/bert"}),
    "wav2vec2": (
        "TransformersModel",
        {"num_classes": 5, "source": "nowhere/w2v", "pooling": "mean"},
    ),
    "layers": (
        "FeatureModel",
        {
            "model": {"class_path": "export_networks.Plain"},
            "layers": {"maps": ["stem"]},
        },
    ),
    "deeplab": ("models.DeepLabV3Plus", {"num_classes": 13, "in_chans": 1, "pretrained": True}),
}


def spec(kind: str) -> dict[str, Any]:
    name, arguments = ARGUMENTS[kind]
    return {"class_path": f"fdkd_lightning.{name}", "init_args": arguments}


def write(folder: Path, network: nn.Module, example: Any, how: Any) -> None:
    student = prepare(network, example, None, how, None, (), "")
    write_weights(student, folder)
    write_config(student.config, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_is_built_again_from_its_folder_alone(tmp_path: Path, kind: str) -> None:
    # The network's own source is gone, and nothing of a hub is read.
    (tmp_path / "source").mkdir()
    made = case(kind, tmp_path / "source")
    write(tmp_path, made.network, made.example, spec(kind))
    for file in (tmp_path / "source").iterdir():
        file.unlink()
    found = load_student(tmp_path, trust=["export_networks"] if kind == "layers" else ())
    assert not found.training
    with torch.no_grad():
        for name in ("features", "logits"):
            output, live = (getattr(net(made.example), name) for net in (found, made.network))
            assert torch.equal(output, live)


def test_the_file_has_the_networks_names_and_needs_safetensors_alone(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    write(tmp_path, made.network, made.example, spec("bytes"))
    expect(made, tmp_path, 4)
    # The mean of embeddings that are looked up here, as the class says.
    code = """
from safetensors.numpy import load_file
w = load_file(folder / "model.safetensors")
wanted = np.load(folder / "outputs.npz")
norm = {key.split(".")[1]: value for key, value in w.items() if key.startswith("norm")}
features = wanted["features"]
logits = np.maximum(features, 0) @ w["fc.weight"].T + w["fc.bias"]
assert set(norm) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
differ({"features": features, "logits": logits}, folder)
"""
    elsewhere(code, [tmp_path], ("fdkd_lightning", "torch"))


def test_a_network_may_be_given_where_nobody_said_how_it_is_built(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    write(tmp_path, made.network, made.example, None)
    with pytest.raises(ValueError, match=r"does not say how .* network=\.\.\."):
        load_student(tmp_path)
    found = load_student(tmp_path, network=NgramNet(8))
    assert torch.equal(found(made.example).logits, made.network(made.example).logits)
    with pytest.raises(ValueError, match=r"model.safetensors does not fit NgramNet"):
        load_student(tmp_path, network=NgramNet(9))


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config.json is not there: .* fdkd export"):
        load_student(tmp_path)
    made = case("bytes", tmp_path)
    write(tmp_path, made.network, made.example, spec("bytes"))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"model.safetensors does not fit NgramNet"):
        load_student(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors is not there"):
        load_student(tmp_path)


OWN = {
    "class_path": "export_networks.Own",
    "init_args": {"width": 4, "stem": {"class_path": "torch.nn.ReLU"}},
}


def test_anothers_class_is_built_only_when_it_is_trusted(tmp_path: Path) -> None:
    network = Own(4, nn.ReLU()).eval()
    write(tmp_path, network, torch.randn(2, 4), OWN)
    assert untrusted(OWN) == ["export_networks"]
    with pytest.raises(ValueError, match=r"export_networks\.Own.*trust=\['export_networks'\]"):
        load_student(tmp_path)
    found = load_student(tmp_path, trust=["export_networks"])
    x = torch.randn(3, 4)
    assert torch.equal(found(x).logits, network(x).logits)


@pytest.mark.parametrize(
    ("path", "trust", "why"),
    [
        ("os.system", (), "trust=['os']"),
        ("subprocess.Popen", (), "trust=['subprocess']"),
        ("os.getcwd", ("subprocess",), "trust=['os']"),
        ("fdkd_lightning.training.command.os.system", (), "does not find"),
        ("fdkd_lightning.training.command.json", (), "no torch.nn.Module"),
        ("fdkd_lightning.training.command.FDKDCLI", (), "no torch.nn.Module"),
        ("fdkd_lightning.cli.main", (), "no torch.nn.Module"),
        ("torch.nn.init.normal_", (), "no torch.nn.Module"),
        ("fdkd_lightning.models.deeplab.SMPDeepLabV3Plus", (), "segmentation_models_pytorch"),
        ("fdkd_lightning_evil.Net", (), "trust=['fdkd_lightning_evil']"),
        ("fdkd_lightning.ResNot", (), "does not find"),
        ("torch.load", (), "trust=['torch']"),
    ],
)
def test_nothing_but_networks_that_are_trusted_is_called(
    monkeypatch: pytest.MonkeyPatch, path: str, trust: tuple[str, ...], why: str
) -> None:
    called: list[str] = []
    monkeypatch.setattr("os.system", called.append)
    for spec in (
        {"class_path": path, "init_args": {"command": "true"}},
        {"class_path": "torch.nn.Flatten", "init_args": {"start_dim": {"class_path": path}}},
        {"class_path": "torch.nn.Flatten", "init_args": {"x": [{"y": {"class_path": path}}]}},
    ):
        with pytest.raises(ValueError, match=r"the network is made of") as error:
            build_network(spec, trust)
        assert why in str(error.value)
    assert called == []


def test_a_trusted_packages_functions_may_make_networks_and_nothing_else() -> None:
    made = build_network({"class_path": "torchvision.models.squeezenet1_1"}, ["torchvision"])
    assert isinstance(made, nn.Module)
    with pytest.raises(ValueError, match=r"which gives no torch\.nn\.Module"):
        build_network({"class_path": "torchvision.models.list_models"}, ["torchvision"])


def test_texts_are_never_taken_for_code() -> None:
    spec = {
        "class_path": "fdkd_lightning.PretrainedModel",
        "init_args": {"model": {"class_path": "torch.nn.ReLU"}, "checkpoint": "os.system"},
    }
    found = build_network(spec)
    assert isinstance(found, PretrainedModel)
    assert found.checkpoint == Path("os.system")


def test_arguments_that_do_not_fit_are_named() -> None:
    spec = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"clases": 3}}
    with pytest.raises(ValueError, match=r"NgramNet cannot be built from \['clases'\]"):
        build_network(spec)


def recipe() -> Any:
    """The network of the README's YAML, of few channels."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    found = re.search(r"`model: (\{class_path: timm.create_model.*?\}\})`", text, re.DOTALL)
    assert found is not None
    model = yaml.safe_load(found[1])
    layers = {"features": "layer4", "maps": ["layer3"]}
    spec = {"model": model, "layers": layers}
    return {"class_path": "fdkd_lightning.FeatureModel", "init_args": spec}


def test_a_function_gets_what_the_readmes_recipe_gives_it(tmp_path: Path) -> None:
    network = FeatureModel(
        timm.create_model("resnet10t", num_classes=10), Layers("layer4", maps=["layer3"])
    )
    x = torch.randn(2, 3, 32, 32)
    write(tmp_path, network, x, recipe())
    assert untrusted(recipe()) == ["timm"]
    found = load_student(tmp_path, trust=["timm"])(x)
    assert found.logits.shape == (2, 10)
    assert torch.equal(found.logits, network.eval()(x).logits)


@pytest.mark.parametrize(
    ("described", "why"),
    [
        ({}, "described by {}"),
        ("x", "described by 'x'"),
        ([], "described by"),
        ({"class_path": 3}, "described by"),
        ({"class_path": "torch.nn.Flatten", "init_args": [1]}, "described by"),
        ({"class_path": "torch.nn.Linear", "init_args": {"in_features": "a"}}, "cannot be built"),
        ({"class_path": "torch.nn.Embedding", "init_args": {"num_embeddings": -1}}, "cannot be b"),
        (
            {
                "class_path": "fdkd_lightning.FeatureModel",
                "init_args": {"model": {"class_path": "torch.nn.ReLU"}, "layers": {"bogus": 1}},
            },
            r"FeatureModel's layers cannot be built from \['bogus'\]",
        ),
    ],
)
def test_what_describes_no_network_is_named(tmp_path: Path, described: Any, why: str) -> None:
    made = case("bytes", tmp_path)
    write(tmp_path, made.network, made.example, spec("bytes"))
    write_config({"network": described}, tmp_path)
    for load in (load_student, ExportedStudent.from_pretrained):
        with pytest.raises(ValueError, match=why):
            load(tmp_path)


@pytest.mark.parametrize(
    ("described", "reader"),
    [
        ({"class_path": "fdkd_lightning.TimmModel", "init_args": {"name": "hf-hub:a/b"}}, "timm"),
        ({"class_path": "fdkd_lightning.TimmModel", "init_args": {"name": "local-dir:b"}}, "timm"),
        (
            {
                "class_path": "fdkd_lightning.models.DeepLabV3Plus",
                "init_args": {"encoder": "tu-hf-hub:a/b"},
            },
            "timm",
        ),
        (
            {
                "class_path": "fdkd_lightning.TransformersModel",
                "init_args": {"source": "a/b", "pretrained": False},
            },
            "transformers",
        ),
        *(
            (
                {
                    "class_path": "fdkd_lightning.TransformersModel",
                    "init_args": {"source": {"hidden_size": 8} | source, "pretrained": False},
                },
                "transformers",
            )
            for source in (
                {"model_type": "timm_wrapper", "architecture": "hf-hub:a/b"},
                {"model_type": "dpt", "backbone_config": {"backbone": "a/b"}},
            )
        ),
    ],
)
def test_no_name_is_looked_up_on_a_hub_unasked(
    monkeypatch: pytest.MonkeyPatch, described: Any, reader: str
) -> None:
    def reached(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network")

    monkeypatch.setattr("socket.getaddrinfo", reached)
    described["init_args"]["num_classes"] = 2
    assert untrusted(described) == [reader]
    inside = {"class_path": "fdkd_lightning.FeatureModel", "init_args": {"model": described}}
    for outer in (described, inside):
        with pytest.raises(ValueError, match=rf"looks up on a hub .* trust=\['{reader}'\]"):
            build_network(outer)


def test_a_configuration_is_json(tmp_path: Path) -> None:
    config = {"network": {"class_path": "a.B", "init_args": {"name": "Zürich"}}}
    write_config(config, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text("utf-8")) == config
    config["network"]["init_args"]["name"] = nn.ReLU()  # type: ignore[index]  # whatever
    with pytest.raises(ExportError, match=r"cannot be written as JSON.*class_path, init_args"):
        write_config(config, tmp_path)


def test_whoever_may_read_the_folders_files_may_read_the_weights(tmp_path: Path) -> None:
    write(tmp_path, NgramNet(3), torch.randint(1, 9, (2, 20)), None)
    modes = [(tmp_path / name).stat().st_mode for name in ("model.safetensors", "config.json")]
    assert modes[0] == modes[1]
