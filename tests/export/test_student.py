import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
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


CaseOf = Callable[[str], Any]


def test_each_format_is_written_read_again_and_reported(tmp_path: Path, case_of: CaseOf) -> None:
    pytest.importorskip("onnxruntime")
    made = case_of("bytes")
    module = UnimodalModule(made.network, "text")
    folder = tmp_path / "deep/export"
    written = export_student(module, folder, made.example, network=SPEC)
    assert [artefact.format for artefact in written] == [*FILES]
    assert [artefact.path for artefact in written] == [folder / name for name in FILES.values()]
    for artefact in written:
        assert artefact.size == artefact.path.stat().st_size
        assert 0 <= artefact.difference <= 1e-5
    assert names(folder) == {"config.json", *FILES.values()}
    assert names(folder.parent) == names(folder) | {"export"}
    config = json.loads((folder / "config.json").read_text())
    assert config["network"] == SPEC
    assert config["graph_inputs"]["tensors"]["text"]["shape"] == ["N", "L"]
    lengths = config["graph_inputs"]["tensors"]["text"]["L"]
    assert [*lengths] == ["torch_export", "onnx"]
    for limits in lengths.values():
        assert 1 < limits["min"] <= 20
        assert limits["max"] is None
        assert {limits["min"], 20, 41} <= {*limits["tried"]}


def test_an_earlier_export_is_replaced_and_what_others_put_there_stays(
    tmp_path: Path, case_of: CaseOf
) -> None:
    made = case_of("bytes")
    folder = tmp_path / "export"
    export_student(made.network, folder, made.example, ["hub"], network=SPEC)
    assert "README.md" in names(folder)
    (folder / ".gitattributes").write_text("mine")
    export_student(made.network, folder, made.example, ["safetensors"])
    assert names(folder) == {"model.safetensors", "config.json", ".gitattributes"}


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, case_of: CaseOf) -> None:
    made = case_of("bytes")
    for name, text in (("README.md", "mine"), ("config.json", '{"model_type": "bert"}')):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(ExportError, match="holds other files than an export"):
            export_student(made.network, folder, made.example, ["safetensors"])
        assert names(folder) == {name}
        assert (folder / name).read_text() == text


class Unsaved(nn.Linear):
    """A network with a part that is not among its weights."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        self.shift = torch.randn(2)

    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x) + self.shift)


class Restless(nn.Linear):
    """It adds the number of its calls, which a graph cannot do."""

    calls = 0

    def forward(self, x: Tensor) -> Output:
        self.calls += 1
        return Output(x, super().forward(x) + self.calls)


def test_a_file_that_is_not_the_student_leaves_the_folder_as_it_was(
    tmp_path: Path, case_of: CaseOf
) -> None:
    made = case_of("bytes")
    folder = tmp_path / "export"
    export_student(made.network, folder, made.example, ["safetensors"])
    before = (folder / "model.safetensors").read_bytes()
    x = torch.randn(2, 3, 4)
    with pytest.raises(ExportError, match=r"torch_export: logits for .* differ by"):
        export_student(Restless(4, 2), folder, x, ["torch_export"])
    spec = {"class_path": f"{__name__}.Unsaved"}
    with pytest.raises(ExportError, match=r"safetensors: logits for .* differ by"):
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


def test_a_missing_package_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r'pip install "fdkd_lightning\[export\]"'):
        export_student(nn.Identity(), tmp_path / "export", torch.ones(2))
    assert not names(tmp_path)


def test_the_hub_needs_the_networks_description(tmp_path: Path, case_of: CaseOf) -> None:
    made = case_of("bytes")
    with pytest.raises(ExportError, match=r"network=.*or leave hub out of formats"):
        export_student(made.network, tmp_path / "export", made.example, ["hub"])
    assert not names(tmp_path)


def test_an_export_that_is_stopped_can_be_made_again(
    tmp_path: Path, case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = case_of("bytes")
    rename, folder = Path.rename, tmp_path / "export"

    def stop(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise KeyboardInterrupt
        return rename(path, target)

    for times in range(2):  # into a new folder, and over an earlier export
        monkeypatch.setattr(Path, "rename", stop)
        with pytest.raises(KeyboardInterrupt):
            export_student(made.network, folder, made.example, ["safetensors"])
        assert folder.exists() == bool(times)
        monkeypatch.setattr(Path, "rename", rename)
        export_student(made.network, folder, made.example, ["safetensors"])
        assert [path.name for path in tmp_path.iterdir()] == ["export"]
        assert names(tmp_path / "export") == {"config.json", "model.safetensors"}


class Plain(nn.Linear):
    """A layer as a network."""

    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x))


@pytest.mark.skipif(sys.platform == "win32", reason="it has no limit of file sizes")
def test_a_disk_without_room_for_a_graph_leaves_the_earlier_export(tmp_path: Path) -> None:
    import resource

    network, x, folder = Plain(500, 2), torch.randn(2, 3, 500), tmp_path / "export"
    export_student(network, folder, x, ["safetensors"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*/export \(File too large\)"):
            export_student(network, folder, x, ["torch_export"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert os.listdir(tmp_path) == ["export"]
