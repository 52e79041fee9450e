"""Scan everything that is published for what is private: paths, names, secrets, samples."""

import getpass
import json
import os
import re
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.run_facts import RunFacts, StudyScores, Teacher
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.student import export_student
from fdkd_lightning.export.torch_export import trace, write_graph
from fdkd_lightning.models import FeatureModel
from fdkd_lightning.training.unimodal import UnimodalModule

SECRETS = {
    "url": "https://someuser:hunter2@example.org/data.zip?token=abcd1234&x=1",
    "local": "file:///home/someuser/private/list.csv",
    "hub_token": "plantedsecret",
    "note": "see /home/someuser/private/notes.txt, password=opensesame",
    "server": "someuser@cluster.example.org",
}
PRIVATE = (
    *("someuser", "hunter2", "abcd1234", "plantedsecret", "opensesame", "/home/", "file://"),
    *("/private", "environment-secret", "stack_trace"),
)


class Stretched(nn.Module):
    """A transform: what the network gets is not the sample as it is stored."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.25) / 0.5


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file, and of each member of those that are archives."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.name, path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.namelist():
                    yield f"{path.name}/{entry}", archive.read(entry)


def findings(folder: Path, samples: Tensor, *more: str) -> list[str]:
    """What is private in a folder's files."""
    here = {str(Path.cwd()), os.path.expanduser("~") + "/", str(Path(torch.__file__).parents[2])}
    names = {socket.gethostname()} | ({getpass.getuser()} - {"root"})
    texts = {*PRIVATE, *here, str(Path(__file__).parents[2]), *names, *more}
    rows = [row for x in (samples, Stretched()(samples)) for row in x.flatten(1)]
    # A part of each sample, in the formats in which it could be stored.
    values = [
        row[:8].to(dtype).numpy().tobytes()
        for row in rows
        for dtype in (torch.float32, torch.float16, torch.float64)
    ]
    found = []
    for name, data in contents(folder):
        text = data.decode("latin-1")
        found += [f"{name}: {word}" for word in texts if word and word in text]
        found += [f"{name}: a path {path}" for path in re.findall(r"[\w./-]+\.py\b", text)]
        found += [f"{name}: a sample" for value in values if value in data]
    return found


def facts(folder: Path) -> RunFacts:
    spec = {"class_path": "mine.Data", "init_args": {"root": str(folder), **SECRETS}}
    return RunFacts(
        source=f"the run in {folder}",
        data=spec,
        module="fdkd_lightning.DistillationModule",
        criterion={"class_path": "fdkd_lightning.KDLoss", "init_args": SECRETS},
        teachers=(Teacher("audio", "mine.Net", str(folder / "teacher.ckpt")),),
        checkpoint=f"`{folder}/best.ckpt`",
        metrics={"test/accuracy": 0.5},
        study=StudyScores("KD environment-secret", "a to v", "full", "accuracy", "last", {0: 0.5}),
    )


@pytest.mark.filterwarnings("ignore")
def test_nothing_private_is_in_what_an_export_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("SOME_API_KEY", "environment-secret")
    torch.manual_seed(0)
    linear = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 64, "out_features": 3}}
    samples = torch.rand(2, 64)
    folder = tmp_path / "export"
    export_student(
        UnimodalModule(FeatureModel(nn.Linear(64, 3)), "visual"),
        folder,
        samples,
        network={"class_path": "fdkd_lightning.FeatureModel", "init_args": {"model": linear}},
        transform=Stretched(),
        class_names=["a", "b", "c"],
        meaning=f"images of {tmp_path}/images and {SECRETS['url']}",
        facts=facts(tmp_path),
    )
    assert {"model.pt2", "model.onnx", "README.md", "config.json", "model.safetensors"} == {
        path.name for path in folder.iterdir()
    }
    assert findings(folder, samples, str(tmp_path)) == []
    # The scan does find them where they are.
    torch.save({"x": samples, "path": str(tmp_path)}, folder / "control.pt")
    (folder / "control.txt").write_text(json.dumps(SECRETS))
    found = findings(folder, samples, str(tmp_path))
    assert any("a sample" in entry for entry in found)
    for word in ("someuser", "hunter2", "abcd1234", "plantedsecret", "opensesame", str(tmp_path)):
        assert any(entry.endswith(word) for entry in found)
    (folder / "control.pt").unlink()
    (folder / "control.txt").unlink()
    # What `push_to_hub` uploads is what `save_pretrained` writes.
    ExportedStudent.from_pretrained(folder).save_pretrained(tmp_path / "hub")
    uploaded = {path.name for path in (tmp_path / "hub").iterdir()}
    assert uploaded <= {"model.safetensors", "config.json", "README.md"}
    assert findings(tmp_path / "hub", samples, str(tmp_path)) == []


def test_a_graphs_file_does_not_depend_on_the_samples(
    tmp_path: Path, mean_over_time: nn.Module
) -> None:
    archives = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        x = torch.rand(2, 1, 8, 8)
        student = make_standalone(mean_over_time, x, "audio", None, None, (), "")
        with zipfile.ZipFile(write_graph(trace(student), tmp_path / name)) as file:
            names = [n for n in file.namelist() if "serialization_id" not in n]
            archives.append({n: file.read(n) for n in names})
    assert archives[0] == archives[1]
    graph: Any = torch.export.load(tmp_path / "a/model.pt2")
    assert not graph.example_inputs[0][0].any()
