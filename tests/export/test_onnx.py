from pathlib import Path

import pytest
import torch
from export_networks import CHANNELS, KINDS, case, elsewhere, expect, student, tensors

from fdkd_lightning.data.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    LogMelSpectrogram,
)
from fdkd_lightning.export import onnx
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.onnx import require_onnx, run_onnx, write_onnx
from fdkd_lightning.export.prepare import prepare
from fdkd_lightning.export.torch_export import trace
from fdkd_lightning.models import ResNet

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


@every_kind
def test_a_graph_is_the_network_where_neither_torch_nor_this_package_is(
    tmp_path: Path, kind: str
) -> None:
    made = case(kind, tmp_path)
    ready = student(made.network, made.example, made.modality)
    path = write_onnx(ready, trace(ready), tmp_path)
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
    expect(made, tmp_path, 5)
    elsewhere(RUN, [tmp_path], ("fdkd_lightning", "torch", "onnx"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "transform", [LogMelSpectrogram(), LogMagnitudeSpectrogram(), LogDensitySpectrogram(8000)]
)
def test_a_spectrogram_can_begin_the_graph(tmp_path: Path, transform: torch.nn.Module) -> None:
    network = ResNet(10, 1, channels=CHANNELS).eval()
    ready = prepare(network, torch.randn(2, 8000), "audio", None, transform, (), "")
    run = run_onnx(write_onnx(ready, trace(ready), tmp_path), "audio")
    for waveforms in (torch.randn(1, 8000), torch.randn(3, 7000)):
        with torch.no_grad():
            live = network(transform(waveforms))
        torch.testing.assert_close(run(waveforms)["logits"], live.logits, rtol=1e-5, atol=1e-5)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_onnx()
    monkeypatch.setattr(onnx, "find_spec", lambda name: object() if name == "onnx" else None)
    with pytest.raises(ExportError, match=r"onnxscript, onnxruntime, not installed") as error:
        require_onnx()
    assert "pip install 'fdkd_lightning[export]'" in str(error.value)
    assert "leave onnx out of formats" in str(error.value)
