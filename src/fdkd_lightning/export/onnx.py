"""The student as an ONNX graph."""

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from fdkd_lightning.export.base import ExportError, Run, Student, named_tensors
from fdkd_lightning.ops.optional import require

GRAPH = "model.onnx"
NEEDED = ("onnx", "onnxscript", "onnxruntime")
OUTPUTS = ("logits", "features")


def require_onnx() -> None:
    """Raise if a package is missing that writing or checking ONNX needs."""
    try:
        for name in NEEDED:
            require(name, extra="export", purpose="the format onnx")
    except ImportError as error:
        raise ExportError(f"{error}; or leave onnx out of formats") from error


def write_onnx(student: Student, program: ExportedProgram, folder: Path) -> Path:
    """Write the graph with its weights; above 2 GB these lie beside it."""
    path = folder / GRAPH
    try:
        # It tells its progress on the standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            converted = torch.onnx.export(
                program,
                dynamo=True,
                input_names=student.input_names,
                output_names=OUTPUTS,
                verbose=False,
            )
    except Exception as error:  # whatever the converter meets
        remedy = (
            "leave onnx out of formats"
            if student.transform is None
            else "go without include_transform, or leave onnx out of formats"
        )
        raise ExportError(f"the graph cannot be converted to ONNX: {remedy}. {error}") from error
    assert converted is not None
    converted.save(path)
    return path


def run_onnx(path: Path, name: str) -> Run:
    """The graph in onnxruntime, on the CPU, with torch's tensors."""
    onnxruntime = require("onnxruntime", extra="export", purpose="the format onnx")
    options = onnxruntime.SessionOptions()
    # What fails is raised; it would be printed too.
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(x: Any) -> dict[str, Tensor]:
        feed = {key: tensor.numpy() for key, tensor in named_tensors(x, name).items()}
        return {
            key: torch.from_numpy(value)
            for key, value in zip(OUTPUTS, session.run(OUTPUTS, feed), strict=True)
        }

    return run
