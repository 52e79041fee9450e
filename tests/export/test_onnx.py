import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from export_networks import KINDS, Case, MeanOverTime, Traced, elsewhere, expect, tensors
from torch import nn

from fdkd_lightning.data.transforms.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    LogMelSpectrogram,
)
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.onnx import require_onnx, run_onnx, write_onnx
from fdkd_lightning.export.standalone import prepare
from fdkd_lightning.export.torch_export import trace

ort = pytest.importorskip("onnxruntime")
# Conversion takes seconds: always tried are one with two inputs, here, and a ResNet in
# test_readme.py.
QUICK = ("bert",)
every_kind = pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
RUN = """
import onnxruntime
session = onnxruntime.InferenceSession(folder / "model.onnx")
outputs = session.run(["logits", "features"], inputs)
differ(dict(zip(["logits", "features"], outputs)), folder)
"""


@pytest.fixture(scope="module")
def graph_of(traced_of: Callable[[str], Traced]) -> Callable[[str], tuple[Case, Path]]:
    """Kind -> a network and the file of its graph, converted once."""

    @cache
    def made(kind: str) -> tuple[Case, Path]:
        found = traced_of(kind)
        return found.case, write_onnx(found.student, found.program, found.folder)

    return made


@every_kind
def test_a_graph_is_the_network(graph_of: Callable[[str], tuple[Case, Path]], kind: str) -> None:
    made, path = graph_of(kind)
    session = ort.InferenceSession(path)
    assert [entry.name for entry in session.get_inputs()] == [*tensors(made, 2)]
    assert [entry.name for entry in session.get_outputs()] == ["logits", "features"]
    run = run_onnx(path, made.modality)
    with torch.no_grad():
        live = made.network(made.example)
    found = run(made.example)
    for name in ("logits", "features"):
        value = getattr(live, name)
        # Where values are above 1, float32 keeps five digits of the largest.
        assert (found[name] - value).abs().max() <= 1e-5 * max(1, value.abs().max())


@pytest.mark.parametrize(
    "kinds", [QUICK, pytest.param(tuple({*KINDS} - {*QUICK}), marks=pytest.mark.slow)]
)
def test_a_graph_needs_neither_torch_nor_this_package(
    graph_of: Callable[[str], tuple[Case, Path]], kinds: tuple[str, ...]
) -> None:
    graphs = [graph_of(kind) for kind in kinds]
    for made, path in graphs:
        expect(made, path.parent, 5)
    folders = [path.parent for _, path in graphs]
    elsewhere(RUN, folders, ("fdkd_lightning", "torch", "onnx"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "transform", [LogMelSpectrogram(), LogMagnitudeSpectrogram(), LogDensitySpectrogram(8000)]
)
def test_a_spectrogram_can_begin_the_graph(tmp_path: Path, transform: nn.Module) -> None:
    network = MeanOverTime()
    ready = prepare(network, torch.randn(2, 8000), "audio", None, transform, (), "")
    run = run_onnx(write_onnx(ready, trace(ready), tmp_path), "audio")
    for waveforms in (torch.randn(1, 8000), torch.randn(3, 7000)):
        with torch.no_grad():
            live = network(transform(waveforms))
        torch.testing.assert_close(run(waveforms)["logits"], live.logits, rtol=1e-5, atol=1e-5)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_onnx()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match="the format onnx needs the package onnxscript") as error:
        require_onnx()
    assert 'pip install "fdkd_lightning[export]"' in str(error.value)
    assert "leave onnx out of formats" in str(error.value)
