"""Small students of every kind, and a Python that knows nothing of this package."""

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from transformers import BertConfig, Wav2Vec2Config

from fdkd_lightning.export.base import Student
from fdkd_lightning.export.standalone import prepare
from fdkd_lightning.export.torch_export import trace
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

CHANNELS = (8, 8, 16, 16)
KINDS = (
    "spectrogram",
    "picture",
    "frames",
    "bytes",
    "timm",
    "bert",
    "wav2vec2",
    "layers",
    "deeplab",
)


class Own(nn.Linear):
    """A network of a user's."""

    def __init__(self, width: int, stem: nn.Module) -> None:
        super().__init__(width, 3)
        self.stem = stem

    def forward(self, x: Tensor) -> Output:
        return Output(self.stem(x), super().forward(self.stem(x)))


class Plain(nn.Module):
    """A network that knows of no Output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.stem(x).relu().mean((2, 3)))
        return scores


class MeanOverTime(nn.Module):
    """A network of spectrograms: little to trace, so that what stands before it counts."""

    def forward(self, x: Tensor) -> Output:
        return Output(x.mean(3).flatten(1), x.amax(3).flatten(1))


class Unsaved(nn.Linear):
    """A network with a part that is not among its weights."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        self.shift = torch.randn(2)

    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x) + self.shift)


class Case(NamedTuple):
    """A network, the modality that it takes, an example."""

    network: nn.Module
    modality: str
    example: Any


class Traced(NamedTuple):
    """A network, what leaves, its graph, and a folder for its files."""

    case: Case
    student: Student
    program: ExportedProgram
    folder: Path


def traced(kind: str, folder: Path) -> Traced:
    """A network and its graph."""
    made = case(kind, folder)
    ready = student(made.network, made.example, made.modality)
    return Traced(made, ready, trace(ready), folder)


def case(kind: str, folder: Path) -> Case:
    """A network of random weights, batch norm's statistics included."""
    torch.manual_seed(0)
    network, modality, example = _made(kind, folder)
    network.eval()
    # What is built when it is first used.
    network(example)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return Case(network, modality, example)


def _made(kind: str, folder: Path) -> tuple[nn.Module, str, Any]:
    match kind:
        case "spectrogram":
            return ResNet(10, 1, channels=CHANNELS), "audio", torch.randn(2, 1, 32, 40)
        case "picture":
            return ResNet(10, 3, channels=CHANNELS), "visual", torch.randn(2, 3, 32, 32)
        case "frames":
            return ResNet(10, 3, channels=CHANNELS), "visual", torch.randn(2, 4, 3, 32, 32)
        case "bytes":
            return NgramNet(8), "text", torch.randint(1, 257, (2, 20))
        case "timm":
            return TimmModel("test_efficientnet", 5), "visual", torch.randn(2, 3, 64, 64)
        case "bert":
            sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
            BertConfig(vocab_size=30, intermediate_size=16, **sizes).save_pretrained(folder)
            ids = torch.randint(1, 30, (2, 12))
            mask = (torch.arange(12) < torch.tensor([[12], [7]])).long()
            tokens = {"input_ids": ids * mask, "attention_mask": mask}
            return TransformersModel(str(folder), 5, pretrained=False), "text", tokens
        case "wav2vec2":
            Wav2Vec2Config(
                hidden_size=16,
                num_hidden_layers=2,
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
            return network, "audio", torch.randn(2, 1600)
        case "layers":
            layers = FeatureModel(Plain(), Layers(maps=["stem"]))
            return layers, "visual", torch.randn(2, 3, 16, 16)
        case "deeplab":
            return DeepLabV3Plus(13, in_chans=1), "depth", torch.randn(2, 1, 50, 64)
        case _:
            raise ValueError(kind)


def student(network: nn.Module, example: Any, modality: str = "visual") -> Any:
    """It, ready to leave, without a word on how it is built."""
    return prepare(network, example, modality, None, None, (), "")


def tensors(case: Case, size: int) -> dict[str, Tensor]:
    """The example's tensors by name, for so many samples."""
    example = case.example
    named = {case.modality: example} if isinstance(example, Tensor) else example
    return {name: tensor[torch.arange(size) % 2] for name, tensor in named.items()}


def expect(case: Case, folder: Path, size: int) -> None:
    """Write what goes into the live network, and what comes out of it, as NumPy's."""
    inputs = tensors(case, size)
    with torch.no_grad():
        output = case.network(
            inputs if isinstance(case.example, dict) else next(iter(inputs.values()))
        )
    np.savez(folder / "inputs.npz", **{name: tensor.numpy() for name, tensor in inputs.items()})
    outputs = {"logits": output.logits.numpy(), "features": output.features.numpy()}
    np.savez(folder / "outputs.npz", **outputs)


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

def differ(outputs, folder):
    wanted = np.load(folder / "outputs.npz")
    for name in wanted:
        found = np.asarray(outputs[name])
        assert found.shape == wanted[name].shape, (folder, name, found.shape)
        largest = np.abs(found - wanted[name]).max() / max(1, np.abs(wanted[name]).max())
        assert largest <= 1e-5, (folder, name, largest)

for folder in map(Path, sys.argv[1:]):
    inputs = dict(np.load(folder / "inputs.npz"))
"""
ABSENT = ("fdkd_lightning", "lightning", "timm", "transformers", "segmentation_models_pytorch")


def elsewhere(code: str, folders: list[Path], absent: tuple[str, ...] = ABSENT) -> None:
    """Run code on each folder's inputs, where the packages cannot be imported."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    program = ELSEWHERE.format(absent=absent) + body + "print('done')\n"
    arguments = [sys.executable, "-I", "-c", program, *map(str, folders)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
