import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from export_networks import Unsaved, case
from torch import Tensor, nn

from fdkd_lightning import UnimodalModule
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.student import check_formats, export_student
from fdkd_lightning.types import Output

SPEC = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"num_classes": 8}}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


FILES = {
    "safetensors": "model.safetensors",
    "torch_export": "model.pt2",
    "onnx": "model.onnx",
    "hub": "README.md",
}


@pytest.mark.parametrize(
    "kinds",
    [
        ["safetensors", "torch_export", "hub"],
        pytest.param(["onnx"], marks=pytest.mark.slow),
    ],
)
def test_each_format_is_written_read_again_and_reported(tmp_path: Path, kinds: list[Any]) -> None:
    if "onnx" in kinds:
        pytest.importorskip("onnxruntime")
    made = case("bytes", tmp_path)
    module = UnimodalModule(made.network, "text")
    folder = tmp_path / "deep/export"
    written = export_student(module, folder, made.example, kinds, network=SPEC)
    assert [artefact.format for artefact in written] == kinds
    assert [artefact.path for artefact in written] == [folder / FILES[kind] for kind in kinds]
    for artefact in written:
        assert artefact.size == artefact.path.stat().st_size
        assert 0 <= artefact.difference <= 1e-5
    assert names(folder) == {"config.json", *(FILES[kind] for kind in kinds)}
    assert names(folder.parent) == names(folder) | {"export"}
    config = json.loads((folder / "config.json").read_text())
    assert config["network"] == SPEC
    assert config["graph_inputs"]["tensors"]["text"]["shape"] == ["N", "L"]
    lengths = config["graph_inputs"]["tensors"]["text"]["L"]
    assert [*lengths] == [kind for kind in kinds if kind in ("torch_export", "onnx")]
    for limits in lengths.values():
        assert 1 < limits["min"] <= 20
        assert limits["max"] is None
        assert {limits["min"], 20, 41} <= {*limits["tried"]}


def test_an_earlier_export_is_replaced_and_what_others_put_there_stays(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    folder = tmp_path / "export"
    export_student(made.network, folder, made.example, ["hub"], network=SPEC)
    assert "README.md" in names(folder)
    (folder / ".gitattributes").write_text("mine")
    export_student(made.network, folder, made.example, ["safetensors"])
    assert names(folder) == {"model.safetensors", "config.json", ".gitattributes"}


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    for name, text in (("README.md", "mine"), ("config.json", '{"model_type": "bert"}')):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(ExportError, match="holds something else than an export"):
            export_student(made.network, folder, made.example, ["safetensors"])
        assert names(folder) == {name}
        assert (folder / name).read_text() == text


class Restless(nn.Linear):
    """It adds what a graph does not: the number of its calls."""

    calls = 0

    def forward(self, x: Tensor) -> Output:
        self.calls += 1
        return Output(x, super().forward(x) + self.calls)


def test_a_file_that_is_not_the_student_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    folder = tmp_path / "export"
    export_student(made.network, folder, made.example, ["safetensors"])
    before = (folder / "model.safetensors").read_bytes()
    x = torch.randn(2, 3, 4)
    with pytest.raises(ExportError, match=r"torch_export: logits of .* differ by"):
        export_student(Restless(4, 2), folder, x, ["torch_export"])
    spec = {"class_path": "export_networks.Unsaved"}
    with pytest.raises(ExportError, match=r"safetensors: logits of .* differ by"):
        export_student(Unsaved(), folder, x, ["safetensors"], network=spec)
    assert names(folder) == {"model.safetensors", "config.json"}
    assert (folder / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".export-*"))


@pytest.mark.parametrize("formats", ["onnx", ["onx"], [], ["safetensors", "pickle"]])
def test_an_unknown_format_is_named_with_those_there_are(tmp_path: Path, formats: Any) -> None:
    with pytest.raises(ExportError, match="safetensors, torch_export, onnx, hub") as error:
        export_student(nn.Identity(), tmp_path, torch.ones(2), formats)
    assert f"formats={formats!r}" in str(error.value)


def test_formats_come_in_one_order_each_once() -> None:
    wanted = ["hub", "safetensors", "hub", "torch_export"]
    assert check_formats(wanted) == ["safetensors", "torch_export", "hub"]


def test_a_missing_package_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r'pip install "fdkd_lightning\[export\]"'):
        export_student(nn.Identity(), tmp_path / "export", torch.ones(2))
    assert not names(tmp_path)


def test_the_hub_needs_to_know_how_the_network_is_built(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    with pytest.raises(ExportError, match=r"network=.*or leave hub out of formats"):
        export_student(made.network, tmp_path / "export", made.example, ["hub"])
    assert not names(tmp_path)
