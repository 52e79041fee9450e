import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from export_networks import (
    KINDS,
    Case,
    MeanOverTime,
    Traced,
    case,
    elsewhere,
    expect,
    student,
    tensors,
)
from torch import Tensor, nn

from fdkd_lightning.data.transforms.spectrograms import LogMelSpectrogram
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.standalone import prepare
from fdkd_lightning.export.torch_export import (
    inputs_of,
    run_graph,
    trace,
    write_graph,
)
from fdkd_lightning.types import Output

# The others are of the same kinds of networks, or take longer.
QUICK = ("picture", "bytes", "bert")
every_kind = pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
Graph = tuple[Case, Path, dict[str, Any]]


@pytest.fixture(scope="module")
def graph_of(traced_of: Callable[[str], Traced]) -> Callable[[str], Graph]:
    """Kind -> a network, the folder of its graph, and what that takes."""

    @cache
    def made(kind: str) -> Graph:
        own, ready, program, folder = traced_of(kind)
        write_graph(program, folder)
        assert not [node for node in program.graph.nodes if "fft" in str(node.target)]
        return own, folder, inputs_of(ready, program)["tensors"]

    return made


def call(graph: Any, inputs: dict[str, Tensor], example: Any) -> Any:
    return graph(inputs if isinstance(example, dict) else next(iter(inputs.values())))


@every_kind
def test_a_graph_is_the_network_for_any_number_of_samples(
    graph_of: Callable[[str], Graph], kind: str
) -> None:
    made, folder, takes = graph_of(kind)
    graph = run_graph(folder / "model.pt2")
    for size in (1, 2, 7):
        inputs = tensors(made, size)
        found = call(graph, inputs, made.example)
        live = call(made.network, inputs, made.example)
        assert found.keys() == {"logits", "features"}
        for name, value in found.items():
            assert len(value) == size
            torch.testing.assert_close(value, getattr(live, name), rtol=1e-6, atol=1e-6)
    for name, tensor in tensors(made, 2).items():
        assert takes[name]["dtype"] == str(tensor.dtype).split(".")[1]
        if tensor.ndim > 2:
            assert takes[name]["shape"] == ["N", *tensor.shape[1:]]


@pytest.mark.parametrize(
    "kind", ["bytes", "bert", pytest.param("wav2vec2", marks=pytest.mark.slow)]
)
def test_a_sequence_may_have_any_length_within_the_limits(
    graph_of: Callable[[str], Graph], kind: str
) -> None:
    made, folder, takes = graph_of(kind)
    graph = run_graph(folder / "model.pt2")
    [limits] = {tuple(entry["L"].values()) for entry in takes.values()}
    assert all(entry["shape"] == ["N", "L"] for entry in takes.values())
    assert limits[1] == (512 if kind == "bert" else None)  # BERT's positions
    longest = 3 * made.example.shape[1] if limits[1] is None else limits[1]
    for length in (limits[0], longest):
        inputs = {n: x.repeat(1, 50)[:, :length] for n, x in tensors(made, 3).items()}
        found = call(graph, inputs, made.example)["logits"]
        live = call(made.network, inputs, made.example).logits
        torch.testing.assert_close(found, live, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "kinds", [QUICK, pytest.param(tuple({*KINDS} - {*QUICK}), marks=pytest.mark.slow)]
)
def test_a_graph_needs_torch_alone(
    graph_of: Callable[[str], Graph], kinds: tuple[str, ...]
) -> None:
    folders = []
    for kind in kinds:
        made, folder, _ = graph_of(kind)
        expect(made, folder, 3)
        folders.append(folder)
    code = """
import torch
inputs = {name: torch.from_numpy(value) for name, value in inputs.items()}
graph = torch.export.load(folder / "model.pt2").module()
differ(graph(inputs if len(inputs) > 1 else next(iter(inputs.values()))), folder)
"""
    elsewhere(code, folders)


def test_a_transform_can_begin_the_graph(tmp_path: Path) -> None:
    network = MeanOverTime()
    mel = LogMelSpectrogram(n_fft=256, hop_length=128)
    waveforms = torch.randn(2, 4000)
    ready = prepare(network, waveforms, "audio", None, mel, (), "a voice")
    program = trace(ready)
    graph = run_graph(write_graph(program, tmp_path))
    takes = inputs_of(ready, program)
    assert takes["tensors"]["audio"]["shape"] == ["N", "L"]
    assert takes["meaning"] == "a voice"
    assert ready.config["inputs"]["tensors"]["audio"]["shape"] == ["N", 1, 32, 32]
    assert "LogMelSpectrogram makes of a voice" in ready.config["inputs"]["meaning"]
    for x in (waveforms, torch.randn(3, 2500)):
        torch.testing.assert_close(graph(x)["logits"], network(mel(x)).logits)


class Fixed(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x))


def test_a_length_that_cannot_vary_is_said_loudly(tmp_path: Path) -> None:
    ready = student(Fixed(6, 3), torch.randn(2, 6), "audio")
    with pytest.warns(UserWarning, match=r"Fixed fixes the length of 'audio'.*\['N', 6\]"):
        program = trace(ready)
    assert inputs_of(ready, program)["tensors"]["audio"]["shape"] == ["N", 6]
    assert run_graph(write_graph(program, tmp_path))(torch.ones(5, 6))["logits"].shape == (5, 3)


def test_lengths_that_vary_are_not_warned_of(tmp_path: Path) -> None:
    made = case("bytes", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ready = student(made.network, made.example, "text")
        trace(ready)


class Moody(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x) if x.sum() > 0 else -super().forward(x))


class PerBatch(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x) / torch.ones(len(x), 1))


@pytest.mark.parametrize("network", [Moody(4, 2), PerBatch(4, 2)])
def test_what_cannot_be_traced_is_named(network: nn.Module) -> None:
    ready = student(network, torch.randn(2, 4))
    name = type(network).__name__
    with pytest.raises(ExportError, match=rf"cannot trace {name} .* leave torch_export and onnx"):
        trace(ready)


def test_a_transform_that_cannot_be_traced_can_be_left_out() -> None:
    class Sometimes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 1e6 else 2 * x

    ready = prepare(Fixed(4, 2), torch.randn(2, 4), "audio", None, Sometimes(), (), "")
    with pytest.raises(ExportError, match=r"Sometimes and Fixed .* go without include_transform"):
        trace(ready)
