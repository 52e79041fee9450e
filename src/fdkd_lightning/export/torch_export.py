"""The student as a graph of torch.export, which torch alone runs."""

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
OPEN = 2**31
"""The tracer says of a length without limit that it is below some huge number."""


def trace(student: Student) -> ExportedProgram:
    """The graph, for any number of samples and, of sequences [N, L], any length where that holds.

    Raises:
        ExportError: If torch cannot trace the network or the transform, or not for any number of
            samples.
    """
    x = student.graph_example
    named_tensors(x, student.input_names[0])
    deployed = student.deployed.requires_grad_(False)
    batch = Dim("N")
    shapes = apply_to_collection(x, Tensor, partial(_dimensions, batch=batch))
    try:
        with torch.no_grad():
            # Once before: some check the values of their first input, which is no part of a graph.
            deployed(x)
            program = torch.export.export(deployed, (x,), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:  # whatever the tracer meets
        whole = type(student.network).__name__
        remedy = "leave torch_export and onnx out of formats"
        if student.transform is not None:
            whole = f"{type(student.transform).__name__} and {whole}"
            remedy = f"go without include_transform, or {remedy}"
        raise ExportError(
            f"torch.export cannot trace {whole} for any number of samples: {remedy}. {error}"
        ) from error
    for name, entry in inputs_of(student, program)["tensors"].items():
        if len(entry["shape"]) == 2 and "L" not in entry:
            warnings.warn(
                f"{type(student.network).__name__} fixes the length of {name!r} where it is "
                f"traced: the graphs take {entry['shape']} and no other length",
                stacklevel=2,
            )
    return program


def inputs_of(student: Student, program: ExportedProgram) -> dict[str, Any]:
    """What the graph takes: ``N`` is any number; ``L`` a length from ``min`` to ``max``.

    These are what the tracer knows: guards of the graph may be narrower.
    """
    found = signature(student.graph_example, student.input_names[0])
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.name in names}
    for entry, node in zip(found.values(), names, strict=True):
        shape = values[str(node)].shape
        # Of a length that was fixed after all the symbol is a number.
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
    """Write the graph and its weights."""
    path = folder / GRAPH
    torch.export.save(program, path)
    return path


def run_graph(path: Path) -> Run:
    """The graph, read back."""
    run: Run = torch.export.load(path).module()
    return run


def _dimensions(x: Tensor, batch: Any) -> dict[int, Any]:
    # A sequence's length may be fixed by what the network does with it, then by the tracer.
    return {0: batch, 1: Dim.AUTO} if x.ndim == 2 else {0: batch}
