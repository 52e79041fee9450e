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
    """Raise ExportError if a package is missing that writing or running ONNX needs."""
    try:
        for name in NEEDED:
            require(name, extra="export", purpose="the format onnx")
    except ImportError as error:
        raise ExportError(f"{error}; or leave onnx out of formats") from error


def write_onnx(student: Student, program: ExportedProgram, folder: Path) -> Path:
    """Write the graph and its weights; weights above 2 GB go into a file beside it."""
    path = folder / GRAPH
    try:
        # The converter prints its progress to standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            converted = torch.onnx.export(
                program,
                dynamo=True,
                input_names=student.input_names,
                output_names=OUTPUTS,
                verbose=False,
            )
    except Exception as error:  # any error of the converter
        remedy = (
            "leave onnx out of formats"
            if student.transform is None
            else "export without include_transform, or leave onnx out of formats"
        )
        raise ExportError(f"the graph cannot be converted to ONNX: {remedy}. {error}") from error
    assert converted is not None
    _strip(converted.model)
    converted.save(path)
    return path


def _strip(model: Any) -> None:
    """Take out comments and metadata, which name the user's classes and source files."""
    functions = model.functions.values()
    graphs = [graph for part in (model.graph, *functions) for graph in (part, *part.subgraphs())]
    nodes = [node for graph in graphs for node in graph]
    values = [value for node in nodes for value in (*node.inputs, *node.outputs)]
    for graph in graphs:
        values += [*graph.inputs, *graph.outputs]
    values += model.graph.initializers.values()
    tensors = [value.const_value for value in values if value is not None]
    for part in (model, *graphs, *nodes, *values, *tensors):
        if part is not None:
            part.metadata_props.clear()
            part.doc_string = None


def run_onnx(path: Path, name: str) -> Run:
    """Load the graph into onnxruntime on the CPU; inputs and outputs are torch tensors.

    A graph with a single input calls it ``name``.
    """
    onnxruntime = require("onnxruntime", extra="export", purpose="the format onnx")
    options = onnxruntime.SessionOptions()
    # Errors are raised; without this they are printed as well.
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(x: Any) -> dict[str, Tensor]:
        feed = {key: tensor.numpy() for key, tensor in named_tensors(x, name).items()}
        return {
            key: torch.from_numpy(value)
            for key, value in zip(OUTPUTS, session.run(OUTPUTS, feed), strict=True)
        }

    return run
