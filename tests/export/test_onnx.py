import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.data.transforms.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    LogMelSpectrogram,
)
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.onnx import require_onnx, run_onnx, write_onnx
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.torch_export import trace
from fdkd_lightning.types import Output

ort = pytest.importorskip("onnxruntime")
# Conversion takes seconds. Networks of bytes are converted in test_student.py; those of frames and
# layers and timm's have operations of "deeplab", whose encoder is timm's.
KINDS = ("bert", "wav2vec2", "deeplab")
QUICK = KINDS[:1]
every_kind = pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
RUN = """
import onnxruntime

def load(folder):
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = ["logits", "features"]
    return lambda inputs, wanted: dict(zip(names, session.run(names, inputs)))
"""


@every_kind
def test_a_graph_is_the_network(onnx_of: Callable[[str], Any], kind: str) -> None:
    case, folder, *_ = onnx_of(kind)
    session = ort.InferenceSession(folder / "model.onnx")
    assert [entry.name for entry in session.get_inputs()] == [*case.tensors(2)]
    assert [entry.name for entry in session.get_outputs()] == ["logits", "features"]
    run = run_onnx(folder / "model.onnx", case.modality)
    with torch.no_grad():
        live = case.network(case.example)
    found = run(case.example)
    for name in ("logits", "features"):
        value = getattr(live, name)
        # Where values are above 1, float32 keeps five digits of the largest.
        assert (found[name] - value).abs().max() <= 1e-5 * max(1, value.abs().max())


@pytest.mark.parametrize("kinds", [QUICK, pytest.param(KINDS[1:], marks=pytest.mark.slow)])
def test_a_graph_needs_neither_torch_nor_this_package(
    onnx_of: Callable[[str], Any], run_without: Callable[..., None], kinds: tuple[str, ...]
) -> None:
    run_without(("fdkd_lightning", "torch", "onnx"), RUN, [onnx_of(kind).folder for kind in kinds])


class Joined(nn.Module):
    """Several spectrograms of the same waveforms, one above the other."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        found = [part(x) for part in self.parts]
        means = [torch.stack([f.mean(3), f.amax(3)], 3) for f in found]
        return torch.cat(means, 2)


@pytest.mark.slow
def test_spectrograms_can_begin_the_graph(tmp_path: Path, mean_over_time: nn.Module) -> None:
    transform = Joined(LogMelSpectrogram(), LogMagnitudeSpectrogram(), LogDensitySpectrogram(8000))
    waveforms = torch.randn(2, 8000)
    student = make_standalone(mean_over_time, waveforms, "audio", None, transform, (), "")
    run = run_onnx(write_onnx(student, trace(student), tmp_path), "audio")
    for other in (torch.randn(1, 8000), torch.randn(3, 7000)):
        with torch.no_grad():
            live: Output = mean_over_time(transform(other))
        found = run(other)
        torch.testing.assert_close(found["logits"], live.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found["features"], live.features, rtol=1e-5, atol=1e-5)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_onnx()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match="the format onnx needs the package onnxscript") as error:
        require_onnx()
    assert 'pip install "fdkd_lightning[export]"' in str(error.value)
    assert "leave onnx out of formats" in str(error.value)
