"""Small students of every kind, their graphs, and a Python without this package."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.export import ExportedProgram
from transformers import BertConfig, Wav2Vec2Config

from fdkd_lightning.export.base import Student
from fdkd_lightning.export.onnx import write_onnx
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.torch_export import inputs_of, trace, write_graph
from fdkd_lightning.models import (
    DeepLabV3Plus,
    FeatureModel,
    Layers,
    NgramNet,
    ResNet,
    TimmModel,
    TransformersModel,
)
from fdkd_lightning.types import Output

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}


class Plain(nn.Module):
    """A user's network that returns logits alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.stem(x).relu().mean((2, 3)))
        return scores


class Custom(nn.Linear):
    """A user's network with a part that the configuration describes."""

    def __init__(self, width: int, stem: nn.Module) -> None:
        super().__init__(width, 3)
        self.stem = stem

    def forward(self, x: Tensor) -> Output:
        return Output(self.stem(x), super().forward(self.stem(x)))


class MeanOverTime(nn.Module):
    """A network of spectrograms with little to trace before it."""

    def forward(self, x: Tensor) -> Output:
        return Output(x.mean(3).flatten(1), x.amax(3).flatten(1))


class Case(NamedTuple):
    """A network, its description, the modality of its input, and an example of two samples."""

    network: nn.Module
    spec: dict[str, Any]
    modality: str
    example: Any

    @property
    def student(self) -> Student:
        return make_standalone(self.network, self.example, self.modality, None, None, (), "")

    def tensors(self, size: int) -> dict[str, Tensor]:
        """The example's tensors by name, for a batch of this size."""
        named = {self.modality: self.example}
        named = self.example if isinstance(self.example, dict) else named
        return {name: tensor[torch.arange(size) % 2] for name, tensor in named.items()}

    def as_input(self, tensors: dict[str, Tensor]) -> Any:
        """Named tensors as the network takes them."""
        return tensors if isinstance(self.example, dict) else next(iter(tensors.values()))

    def write_batch(self, folder: Path, name: str, inputs: dict[str, Tensor]) -> None:
        """Write a batch and the network's outputs for it, as NumPy files."""
        with torch.no_grad():
            output = self.network(self.as_input(inputs))
        np.savez(folder / f"{name}-inputs.npz", **{n: x.numpy() for n, x in inputs.items()})
        outputs = {"logits": output.logits.numpy(), "features": output.features.numpy()}
        np.savez(folder / f"{name}-outputs.npz", **outputs)


class Graph(NamedTuple):
    """A network, the folder of its graph, and what the tracer found."""

    case: Case
    folder: Path
    inputs: dict[str, Any]
    operations: list[str]
    warnings: list[str]


def _of_this_package(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"fdkd_lightning.{name}", "init_args": arguments}


def _make(kind: str, folder: Path) -> Case:
    torch.manual_seed(0)
    match kind:
        case "spectrogram":
            spec = _of_this_package("ResNet", num_classes=10, in_chans=1, **SMALL)
            return Case(ResNet(10, 1, **SMALL), spec, "audio", torch.randn(2, 1, 32, 40))  # type: ignore[arg-type]
        case "frames":
            spec = _of_this_package("models.ResNet", num_classes=10, **SMALL)
            return Case(ResNet(10, 3, **SMALL), spec, "visual", torch.randn(2, 4, 3, 32, 32))  # type: ignore[arg-type]
        case "bytes":
            spec = _of_this_package("NgramNet", num_classes=8)
            return Case(NgramNet(8), spec, "text", torch.randint(1, 257, (2, 20)))
        case "timm":
            name = "test_efficientnet"
            spec = _of_this_package("TimmModel", name=name, num_classes=5, pretrained=True)
            return Case(TimmModel(name, 5), spec, "visual", torch.randn(2, 3, 64, 64))
        case "bert":
            sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
            BertConfig(vocab_size=30, intermediate_size=16, **sizes).save_pretrained(folder)
            ids = torch.randint(1, 30, (2, 12))
            mask = (torch.arange(12) < torch.tensor([[12], [7]])).long()
            tokens = {"input_ids": ids * mask, "attention_mask": mask}
            spec = _of_this_package("TransformersModel", num_classes=5, source="nowhere/bert")
            return Case(TransformersModel(str(folder), 5, pretrained=False), spec, "text", tokens)
        case "wav2vec2":
            Wav2Vec2Config(
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                num_feat_extract_layers=2,
                conv_dim=(8, 8),
                conv_kernel=(10, 8),
                conv_stride=(5, 4),
                num_conv_pos_embeddings=8,
                num_conv_pos_embedding_groups=2,
            ).save_pretrained(folder)
            network = TransformersModel(str(folder), 5, pretrained=False, pooling="mean")
            spec = _of_this_package(
                "TransformersModel", num_classes=5, source="nowhere/w2v", pooling="mean"
            )
            return Case(network, spec, "audio", torch.randn(2, 1600))
        case "layers":
            plain = {"class_path": f"{__name__}.Plain"}
            spec = _of_this_package("FeatureModel", model=plain, layers={"maps": ["stem"]})
            layers = FeatureModel(Plain(), Layers(maps=["stem"]))
            return Case(layers, spec, "visual", torch.randn(2, 3, 16, 16))
        case "deeplab":
            encoder = "tu-test_efficientnet"
            spec = _of_this_package(
                "models.DeepLabV3Plus", num_classes=13, encoder=encoder, in_chans=1, pretrained=True
            )
            network = DeepLabV3Plus(13, encoder, in_chans=1)
            return Case(network, spec, "depth", torch.randn(2, 1, 50, 64))
        case _:
            raise ValueError(kind)


@pytest.fixture(scope="session")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Kind -> a network in eval mode with random weights, batch norm's statistics included.

    The files that it was built from are deleted.
    """

    @cache
    def made(kind: str) -> Case:
        folder = tmp_path_factory.mktemp(kind)
        case = _make(kind, folder)
        case.network.eval()
        # Some networks are built when they are first used.
        case.network(case.example)
        for name, buffer in case.network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
        for file in folder.iterdir():
            file.unlink()
        return case

    return made


@pytest.fixture(scope="session")
def graph_of(shared_folder: Path, case_of: Callable[[str], Case]) -> Callable[[str], Graph]:
    """Kind -> a network and its graph ``model.pt2``, traced once for all workers."""

    @cache
    def made(kind: str) -> Graph:
        case, folder = case_of(kind), shared_folder / "graphs" / kind
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not (folder / "inputs.json").exists():
                student = case.student
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    program = trace(student)
                write_graph(program, folder)
                for size in (1, 2, 7):
                    case.write_batch(folder, f"size{size}", case.tensors(size))
                nodes = [node for node in program.graph.nodes if node.op == "call_function"]
                operations = [str(node.target) for node in nodes]
                messages = [str(warning.message) for warning in caught]
                found = inputs_of(student, program)["tensors"], operations, messages
                (folder / "inputs.json").write_text(json.dumps(found))
        return Graph(case, folder, *json.loads((folder / "inputs.json").read_text()))

    return made


@pytest.fixture(scope="session")
def onnx_of(graph_of: Callable[[str], Graph]) -> Callable[[str], Graph]:
    """Kind -> a network and its graph ``model.onnx``, converted once for all workers."""

    @cache
    def made(kind: str) -> Graph:
        graph = graph_of(kind)
        with FileLock(graph.folder / ".lock"):
            if not (graph.folder / "model.onnx").exists():
                program: ExportedProgram = torch.export.load(graph.folder / "model.pt2")
                write_onnx(graph.case.student, program, graph.folder)
        return graph

    return made


ELSEWHERE = """
import sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ImportError(f"{{name}} is not installed here")

sys.meta_path.insert(0, Absent())
for name in {absent!r}:
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{{name}} can be imported")

import numpy as np

{code}

for folder in map(Path, sys.argv[1:]):
    run = load(folder)
    batches = sorted(folder.glob("*-inputs.npz"))
    assert batches
    for file in batches:
        outputs = np.load(str(file).replace("-inputs", "-outputs"))
        found = run(dict(np.load(file)), outputs)
        assert set(found) == set(outputs), (file, set(found))
        for name, wanted in outputs.items():
            value = np.asarray(found[name])
            assert value.shape == wanted.shape, (file, name, value.shape)
            difference = np.abs(value - wanted)
            assert (difference <= {allowed}).all(), (file, name, difference.max())
print("done")
"""


@pytest.fixture(scope="session")
def run_without() -> Callable[..., None]:
    """Runs files on their folders' batches in a Python where packages cannot be imported.

    ``code`` defines ``load(folder)``, which returns a function of inputs and expected outputs;
    ``allowed`` is the largest difference from ``wanted``.
    """

    def run(
        absent: tuple[str, ...],
        code: str,
        folders: list[Path],
        allowed: str = "1e-5 * max(1, np.abs(wanted).max())",
    ) -> None:
        program = ELSEWHERE.format(absent=absent, code=code, allowed=allowed)
        arguments = [sys.executable, "-I", "-c", program, *map(str, folders)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr

    return run


@pytest.fixture
def custom() -> tuple[nn.Module, dict[str, Any]]:
    """A user's network and its description."""
    torch.manual_seed(0)
    spec = {
        "class_path": f"{__name__}.Custom",
        "init_args": {"width": 4, "stem": {"class_path": "torch.nn.ReLU"}},
    }
    return Custom(4, nn.ReLU()).eval(), spec


@pytest.fixture
def mean_over_time() -> nn.Module:
    """A network of spectrograms with little to trace."""
    return MeanOverTime()
