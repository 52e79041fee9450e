from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.data.transforms.spectrograms import LogMelSpectrogram
from fdkd_lightning.export.base import ExportError, Student
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.torch_export import inputs_of, run_graph, trace, write_graph
from fdkd_lightning.types import Output

KINDS = ("spectrogram", "bytes", "bert", "frames", "timm", "wav2vec2", "layers", "deeplab")
# The others are of the same kinds of networks, or take longer.
QUICK = KINDS[:3]
every_kind = pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
SEQUENCES = ("bytes", "bert", "wav2vec2")
GraphOf = Callable[[str], Any]


def student(network: nn.Module, example: Any, modality: str) -> Student:
    return make_standalone(network, example, modality, None, None, (), "")


@every_kind
def test_a_graph_is_the_network_at_any_batch_size_and_of_torchs_operations(
    graph_of: GraphOf, kind: str
) -> None:
    case, folder, inputs, operations, messages = graph_of(kind)
    assert operations
    assert not [name for name in operations if "fft" in name]
    # Those of Python count batch size and length: <built-in function add>.
    assert all(name.startswith(("aten.", "<")) for name in operations)
    for name, tensor in case.tensors(2).items():
        assert inputs[name]["dtype"] == str(tensor.dtype).split(".")[1]
        assert inputs[name]["shape"][0] == "N"
        if tensor.ndim > 2:
            assert inputs[name]["shape"] == ["N", *tensor.shape[1:]]
    batches = [case.tensors(size) for size in (1, 2, 7)]
    if kind in SEQUENCES:
        assert not [message for message in messages if "fixes the length" in message]
        batches += longest_and_shortest(case, inputs, kind)
    graph = run_graph(folder / "model.pt2")
    for tensors in batches:
        x = case.as_input(tensors)
        with torch.no_grad():
            live, found = case.network(x), graph(x)
        for name in ("logits", "features"):
            torch.testing.assert_close(found[name], getattr(live, name), rtol=1e-6, atol=1e-6)


def longest_and_shortest(case: Any, inputs: Any, kind: str) -> list[dict[str, Tensor]]:
    """Batches of the lengths that the graph says it takes, or three times its own."""
    assert all(entry["shape"] == ["N", "L"] for entry in inputs.values())
    [(least, most)] = {(e["L"]["min"], e["L"]["max"]) for e in inputs.values()}
    assert most == (512 if kind == "bert" else None)  # BERT's positions
    own = next(iter(case.tensors(1).values())).shape[1]
    return [
        {name: x.repeat(1, 50)[:, :length] for name, x in case.tensors(3).items()}
        for length in (least, most or 3 * own)
    ]


def test_a_graph_needs_torch_alone(graph_of: GraphOf, run_without: Callable[..., None]) -> None:
    # The others' operations are torch's too, as the test above shows.
    code = """
import torch

def load(folder):
    graph = torch.export.load(folder / "model.pt2").module()

    def run(inputs, wanted):
        inputs = {name: torch.from_numpy(value) for name, value in inputs.items()}
        return graph(inputs if len(inputs) > 1 else next(iter(inputs.values())))

    return run
"""
    absent = (
        "fdkd_lightning",
        "lightning",
        "timm",
        "transformers",
        "segmentation_models_pytorch",
    )
    folder = graph_of("bert").folder
    run_without(absent, code, [folder], allowed="1e-6 + 1e-6 * np.abs(wanted)")


def test_a_transform_can_begin_the_graph(tmp_path: Path, mean_over_time: nn.Module) -> None:
    mel = LogMelSpectrogram(n_fft=256, hop_length=128)
    waveforms = torch.randn(2, 4000)
    ready = make_standalone(mean_over_time, waveforms, "audio", None, mel, (), "a voice")
    program = trace(ready)
    graph = run_graph(write_graph(program, tmp_path))
    takes = inputs_of(ready, program)
    assert takes["tensors"]["audio"]["shape"] == ["N", "L"]
    assert takes["meaning"] == "a voice"
    assert ready.config["inputs"]["tensors"]["audio"]["shape"] == ["N", 1, 32, 32]
    for x in (waveforms, torch.randn(3, 2500)):
        torch.testing.assert_close(graph(x)["logits"], mean_over_time(mel(x)).logits)


class Fixed(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x))


def test_a_length_that_cannot_vary_is_said_loudly(tmp_path: Path) -> None:
    ready = student(Fixed(6, 3), torch.randn(2, 6), "audio")
    with pytest.warns(UserWarning, match=r"Fixed fixes the length of 'audio'.*\['N', 6\]"):
        program = trace(ready)
    assert inputs_of(ready, program)["tensors"]["audio"]["shape"] == ["N", 6]
    assert run_graph(write_graph(program, tmp_path))(torch.ones(5, 6))["logits"].shape == (5, 3)


class Moody(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x) if x.sum() > 0 else -super().forward(x))


class PerBatch(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x) / torch.ones(len(x), 1))


@pytest.mark.parametrize("network", [Moody(4, 2), PerBatch(4, 2)])
def test_what_cannot_be_traced_is_named(network: nn.Module) -> None:
    ready = student(network, torch.randn(2, 4), "visual")
    name = type(network).__name__
    with pytest.raises(ExportError, match=rf"cannot trace {name} .* leave torch_export and onnx"):
        trace(ready)


def test_a_transform_that_cannot_be_traced_can_be_left_out() -> None:
    class Sometimes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 1e6 else 2 * x

    ready = make_standalone(Fixed(4, 2), torch.randn(2, 4), "audio", None, Sometimes(), (), "")
    with pytest.raises(
        ExportError, match=r"Sometimes and Fixed .* export without include_transform"
    ):
        trace(ready)
