"""The student as a torch.export graph, which torch alone can run."""

import io
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.export import Dim, ExportedProgram

from fdkd_lightning.export.base import ExportError, Run, Student, named_tensors, signature

GRAPH = "model.pt2"
KEPT = ("val", "unbacked_bindings")
"""Entries of a node's metadata that a graph needs: shapes and types."""
OPEN = 2**31
"""The tracer reports a length without limit as one below some huge number."""


def trace(student: Student) -> ExportedProgram:
    """Trace the student, with a dynamic batch size and, for sequences [N, L], a dynamic length.

    A network that fixes the length leads to a warning and a graph for that length alone. The
    program holds neither the example's values nor names of source files.

    Raises:
        ExportError: If torch cannot trace the network or transform with a dynamic batch size.
    """
    x = student.graph_example
    named_tensors(x, student.input_names[0])
    deployed = student.deployed.requires_grad_(False)
    batch = Dim("N")
    shapes = apply_to_collection(x, Tensor, partial(_dimensions, batch=batch))
    try:
        with torch.no_grad():
            # Some networks check the values of their first input, which a graph cannot contain.
            deployed(x)
            program = torch.export.export(deployed, (x,), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:  # any error of the tracer
        traced = type(student.network).__name__
        remedy = "leave torch_export and onnx out of formats"
        if student.transform is not None:
            traced = f"{type(student.transform).__name__} and {traced}"
            remedy = f"export without include_transform, or {remedy}"
        raise ExportError(
            f"torch.export cannot trace {traced} for any batch size: {remedy}. {error}"
        ) from error
    for name, entry in inputs_of(student, program)["tensors"].items():
        if len(entry["shape"]) == 2 and "L" not in entry:
            warnings.warn(
                f"{type(student.network).__name__} fixes the length of {name!r} in the traced "
                f"graph: the graphs take {entry['shape']} and no other length",
                stacklevel=2,
            )
    _strip(program)
    return program


def inputs_of(student: Student, program: ExportedProgram) -> dict[str, Any]:
    """Describe the graph's inputs: shape, dtype and meaning.

    ``N`` is any batch size, ``L`` a length from ``min`` to ``max`` as the tracer reports them;
    guards of the graph may be narrower.
    """
    found = signature(student.graph_example, student.input_names[0])
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.name in names}
    for entry, node in zip(found.values(), names, strict=True):
        shape = values[str(node)].shape
        # For a length that the tracer fixed there is a number in place of the symbol.
        symbol = None if len(shape) != 2 or isinstance(shape[1], int) else shape[1].node.expr
        if symbol in program.range_constraints:
            entry["shape"] = ["N", "L"]
            limits = program.range_constraints[symbol]
            open_ended = limits.upper > OPEN
            entry["L"] = {
                "min": int(limits.lower),
                "max": None if open_ended else int(limits.upper),
            }
    return {"tensors": found, "meaning": student.meaning}


def write_graph(program: ExportedProgram, folder: Path) -> Path:
    """Write the graph and its weights; return the file's path."""
    path = folder / GRAPH
    # torch's writer of files ends the whole process where the disk is full.
    content = io.BytesIO()
    torch.export.save(program, content)
    path.write_bytes(content.getbuffer())
    return path


def run_graph(path: Path) -> Run:
    """Load the graph."""
    run: Run = torch.export.load(path).module()
    return run


def _strip(program: ExportedProgram) -> None:
    """Take out what torch would write into the file besides the graph and its weights."""
    # The example is two samples of the data.
    program.example_inputs = apply_to_collection(program.example_inputs, Tensor, torch.zeros_like)
    for part in program.graph_module.modules():
        part.meta = {}
        for node in getattr(part, "graph", torch.fx.Graph()).nodes:
            # Stack traces and scopes name source files and the user's folders.
            node.meta = {name: node.meta[name] for name in KEPT if name in node.meta}


def _dimensions(x: Tensor, batch: Any) -> dict[int, Any]:
    # AUTO, not Dim: the network may fix the length of a sequence.
    return {0: batch, 1: Dim.AUTO} if x.ndim == 2 else {0: batch}
