import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from fdkd_lightning.export import weights
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.rebuild import required_trust
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.weights import WEIGHTS, load_student, save_weights, write_config
from fdkd_lightning.models import NgramNet

CaseOf = Callable[[str], Any]


def write(folder: Path, network: nn.Module, example: Any, spec: Any) -> None:
    student = make_standalone(network, example, None, spec, None, (), "")
    save_weights(student.network, folder / WEIGHTS)
    write_config(student.config, folder)


@pytest.mark.parametrize(
    "kind", ["spectrogram", "frames", "bytes", "timm", "bert", "wav2vec2", "layers", "deeplab"]
)
def test_a_student_is_built_again_from_its_folder_alone(
    tmp_path: Path, case_of: CaseOf, kind: str
) -> None:
    # The network's own source is gone, and no hub is reached.
    made = case_of(kind)
    write(tmp_path, made.network, made.example, made.spec)
    found = load_student(tmp_path, trust=["tests"] if kind == "layers" else ())
    assert not found.training
    with torch.no_grad():
        for name in ("features", "logits"):
            output, live = (getattr(net(made.example), name) for net in (found, made.network))
            assert torch.equal(output, live)


def test_a_folder_of_the_previous_version_is_read(tmp_path: Path, case_of: CaseOf) -> None:
    made = case_of("bytes")
    write(tmp_path, made.network, made.example, made.spec)
    tokens = {"tensors": {"text": {"shape": ["N", 20], "dtype": "int64"}}, "meaning": ""}
    for path in ("fdkd_lightning.NgramNet", "fdkd_lightning.models.text.NgramNet"):
        config = {
            "network": {"class_path": path, "init_args": {"num_classes": 8}},
            "modality": "text",
            "inputs": tokens,
            "graph_inputs": None,
            "outputs": {
                "logits": {"shape": ["N", 8], "dtype": "float32"},
                "features": {"shape": ["N", 64], "dtype": "float32"},
            },
            "class_names": None,
            "fdkd_lightning": "0.1.0",
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        for load in (load_student, ExportedStudent.from_pretrained):
            found = load(tmp_path)
            assert torch.equal(found(made.example).logits, made.network(made.example).logits)


def test_the_file_has_the_networks_names_and_needs_safetensors_alone(
    tmp_path: Path, case_of: CaseOf, run_without: Callable[..., None]
) -> None:
    made = case_of("bytes")
    write(tmp_path, made.network, made.example, made.spec)
    made.write_batch(tmp_path, "four", made.tensors(4))
    # The classifier and batch norm are computed here as the class documents them.
    code = """
from safetensors.numpy import load_file

def load(folder):
    w = load_file(folder / "model.safetensors")
    norm = {key.split(".")[1] for key in w if key.startswith("norm")}
    assert norm == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}

    def run(inputs, wanted):
        features = wanted["features"]
        logits = np.maximum(features, 0) @ w["fc.weight"].T + w["fc.bias"]
        return {"features": features, "logits": logits}

    return run
"""
    run_without(("fdkd_lightning", "torch"), code, [tmp_path])


def test_a_network_may_be_given_where_none_is_described(tmp_path: Path, case_of: CaseOf) -> None:
    made = case_of("bytes")
    write(tmp_path, made.network, made.example, None)
    with pytest.raises(ValueError, match=r"does not describe the network.* network=\.\.\."):
        load_student(tmp_path)
    found = load_student(tmp_path, network=NgramNet(8))
    assert torch.equal(found(made.example).logits, made.network(made.example).logits)
    with pytest.raises(ValueError, match=r"model.safetensors does not fit NgramNet"):
        load_student(tmp_path, network=NgramNet(9))


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, case_of: CaseOf) -> None:
    with pytest.raises(FileNotFoundError, match=r"config.json does not exist: .* fdkd export"):
        load_student(tmp_path)
    made = case_of("bytes")
    write(tmp_path, made.network, made.example, made.spec)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    for content in (b"", whole[:-10], flipped):
        path.write_bytes(content)
        for load in (load_student, ExportedStudent.from_pretrained):
            with pytest.raises(ValueError, match=r"model.safetensors is damaged .*: export the st"):
                load(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors does not exist"):
        load_student(tmp_path)


def test_anothers_class_is_built_only_when_it_is_trusted(
    tmp_path: Path, custom: tuple[nn.Module, dict[str, Any]]
) -> None:
    network, spec = custom
    write(tmp_path, network, torch.randn(2, 4), spec)
    with pytest.raises(ValueError, match=r"\.Custom.*trust=\['tests'\]"):
        load_student(tmp_path)
    found = load_student(tmp_path, trust=["tests"])
    x = torch.randn(3, 4)
    assert torch.equal(found(x).logits, network(x).logits)


@pytest.fixture
def hostile(tmp_path: Path, case_of: CaseOf) -> Callable[[Any], Path]:
    """An exported folder whose ``config.json`` describes another network."""
    made = case_of("bytes")
    write(tmp_path, made.network, made.example, made.spec)

    def describe(network: Any) -> Path:
        write_config({"network": network}, tmp_path)
        return tmp_path

    return describe


@pytest.mark.parametrize(
    ("path", "trust", "why"),
    [
        ("os.system", (), "trust=['os']"),
        ("subprocess.Popen", (), "trust=['subprocess']"),
        ("os.getcwd", ("subprocess",), "trust=['os']"),
        ("fdkd_lightning.training.command.os.system", (), "does not find"),
        ("fdkd_lightning.training.run.run_record.json", (), "no torch.nn.Module"),
        ("fdkd_lightning.training.command.FDKDCLI", (), "no torch.nn.Module"),
        ("fdkd_lightning.cli.main", (), "no torch.nn.Module"),
        ("torch.nn.init.normal_", (), "no torch.nn.Module"),
        ("fdkd_lightning.models.resnet.TimmResNet", (), "timm.models.resnet defines"),
        ("fdkd_lightning_evil.Net", (), "trust=['fdkd_lightning_evil']"),
        ("fdkd_lightning.ResNot", (), "does not find"),
        ("torch.load", (), "trust=['torch']"),
    ],
)
def test_nothing_but_networks_that_are_trusted_is_called(
    monkeypatch: pytest.MonkeyPatch,
    hostile: Callable[[Any], Path],
    path: str,
    trust: tuple[str, ...],
    why: str,
) -> None:
    called: list[str] = []
    monkeypatch.setattr("os.system", called.append)
    for spec in (
        {"class_path": path, "init_args": {"command": "true"}},
        {"class_path": "torch.nn.Flatten", "init_args": {"start_dim": {"class_path": path}}},
        {"class_path": "torch.nn.Flatten", "init_args": {"x": [{"y": {"class_path": path}}]}},
    ):
        with pytest.raises(ValueError, match=r"the network is made of") as error:
            load_student(hostile(spec), trust)
        assert why in str(error.value)
    assert called == []


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
def test_a_description_of_no_network_is_refused(
    hostile: Callable[[Any], Path], described: Any, why: str
) -> None:
    folder = hostile(described)
    for load in (load_student, ExportedStudent.from_pretrained):
        with pytest.raises(ValueError, match=why):
            load(folder)


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
    monkeypatch: pytest.MonkeyPatch,
    hostile: Callable[[Any], Path],
    described: Any,
    reader: str,
) -> None:
    def reached(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network")

    monkeypatch.setattr("socket.getaddrinfo", reached)
    described["init_args"]["num_classes"] = 2
    assert required_trust(described) == [reader]
    inside = {"class_path": "fdkd_lightning.FeatureModel", "init_args": {"model": described}}
    for outer in (described, inside):
        with pytest.raises(ValueError, match=rf"looks up on a hub .* trust=\['{reader}'\]"):
            load_student(hostile(outer))


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


def test_a_full_disk_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_model", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        weights.save_weights(nn.Linear(2, 2), tmp_path / "a.safetensors")
    assert error.value.errno == errno.ENOSPC
