import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.student import export_student
from fdkd_lightning.export.weights import load_student

SPEC = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"num_classes": 8}}


@pytest.fixture
def made(tmp_path: Path, case_of: Callable[[str], Any]) -> Any:
    """A network that is exported in the folder ``export``."""
    case = case_of("bytes")
    export_student(case.network, tmp_path / "export", case.example, ["hub"], "text", SPEC)
    return case


def test_a_folder_is_read_as_the_hub_reads_it(tmp_path: Path, made: Any) -> None:
    student = ExportedStudent.from_pretrained(tmp_path / "export")
    assert not student.training
    assert student.modality == "text"
    assert student.inputs is not None
    assert student.inputs["tensors"]["text"] == {"shape": ["N", 20], "dtype": "int64"}
    found, live = student(made.example), made.network(made.example)
    assert torch.equal(found.logits, live.logits)
    assert torch.equal(found.features, live.features)


@pytest.mark.usefixtures("made")
def test_it_saves_what_was_exported(tmp_path: Path) -> None:
    ExportedStudent.from_pretrained(tmp_path / "export").save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        files = [tmp_path / folder / name for folder in ("export", "again")]
        if name.endswith("json"):
            first, second = (json.loads(file.read_text()) for file in files)
        else:
            first, second = (file.read_bytes() for file in files)
        assert first == second


@pytest.mark.usefixtures("made")
def test_whatever_the_file_states_only_our_networks_are_built(tmp_path: Path) -> None:
    path = tmp_path / "export/config.json"
    config = json.loads(path.read_text())
    config["network"] = {"class_path": "os.system", "init_args": {"command": "false"}}
    # Trust is the caller's alone.
    config["trust"] = ["os"]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"trust=\['os'\]"):
        ExportedStudent.from_pretrained(tmp_path / "export")


@pytest.mark.usefixtures("made")
def test_a_file_that_does_not_fit_is_an_error_and_nothing_is_left_random(tmp_path: Path) -> None:
    path = tmp_path / "export/config.json"
    path.write_text(path.read_text().replace('"num_classes": 8', '"num_classes": 9'))
    with pytest.raises(ValueError, match="does not fit NgramNet"):
        ExportedStudent.from_pretrained(tmp_path / "export")


def test_another_packages_network_is_for_those_who_trust_it(
    tmp_path: Path, custom: tuple[nn.Module, dict[str, Any]]
) -> None:
    network, spec = custom
    x = torch.randn(2, 4)
    trust = spec["class_path"].split(".")[:1]
    export_student(network, tmp_path, x, ["hub"], "visual", spec)
    with pytest.raises(ValueError, match=re.escape(f"trust={trust}")):
        ExportedStudent.from_pretrained(tmp_path)
    for load in (load_student, ExportedStudent.from_pretrained):
        assert torch.equal(load(tmp_path, trust=trust)(x).logits, network(x).logits)
    assert f'from_pretrained("USER/NAME", trust={trust})' in (tmp_path / "README.md").read_text()
    # The next call trusts nobody.
    with pytest.raises(ValueError, match=re.escape(f"trust={trust}")):
        ExportedStudent.from_pretrained(tmp_path)
