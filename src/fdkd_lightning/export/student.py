"""A trained module's student, written, loaded again and compared."""

import contextlib
import copy
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from fdkd_lightning.export import onnx, torch_export, weights
from fdkd_lightning.export.base import (
    Artefact,
    Deployed,
    ExportError,
    Run,
    Student,
    batches,
    parity,
)
from fdkd_lightning.export.card import CARD, write_card
from fdkd_lightning.export.facts import RunFacts
from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.lengths import try_lengths
from fdkd_lightning.export.standalone import prepare

Format = Literal["safetensors", "torch_export", "onnx", "hub"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES = (
    weights.WEIGHTS,
    weights.CONFIG,
    torch_export.GRAPH,
    onnx.GRAPH,
    f"{onnx.GRAPH}.data",
    CARD,
)


def export_student(
    module: nn.Module,
    folder: str | Path,
    example: Any,
    formats: Sequence[Format] = FORMATS,
    modality: str | None = None,
    network: Mapping[str, Any] | None = None,
    transform: nn.Module | None = None,
    class_names: Sequence[str] = (),
    meaning: str = "",
    facts: RunFacts | None = None,
) -> list[Artefact]:
    r"""Write the student alone, load each file again and hold it against the live one.

    What is written needs no teacher, criterion or projector, nor, but for ``safetensors`` and
    ``hub``, this package:

    - ``safetensors``: ``model.safetensors``, read back by :func:`~fdkd_lightning.load_student`
    - ``torch_export``: ``model.pt2``, a graph for torch alone, ``torch.export.load(path).module()``
    - ``onnx``: ``model.onnx``, a graph for onnxruntime and others
    - ``hub``: all of that is a folder for ``hf upload``, with ``model.safetensors`` and a model
      card ``README.md``; :class:`~fdkd_lightning.ExportedStudent` reads it

    ``config.json`` says in any case what the files take. The graphs give ``logits`` and
    ``features``, for any number of samples and, of tokens and waveforms [N, L], for any length
    within the limits that ``config.json`` tells for each file, if the network allows it. These
    limits are found by running the file, and ``tried`` there lists the lengths that were run.
    Everything is in float32 and in eval mode. The module itself is left as it is.

    Args:
        module: A ``UnimodalModule`` or ``DistillationModule``, whose network is taken, or a network
            that returns :class:`~fdkd_lightning.Output`.
        folder: Where to write. An earlier export there is replaced, its card too.
        example: What the network takes (with ``transform``, what that takes): two samples or more.
        formats: Which.
        modality: What the input is called; None: the module's modality, if it has one.
        network: Class path and arguments of the network, as a configuration says them, so that it
            can be built again; None: whoever loads it builds it. ``hub`` needs it.
        transform: Begins the graphs, such as a spectrogram of the waveforms that they then take.
        class_names: K names.
        meaning: What the example is, in words, for ``config.json`` and the card.
        facts: What the card tells of the run.

    Raises:
        ValueError: If a format is unknown or needs what is not there, the folder holds other
            files, the network cannot be traced, or a file differs from the live network by more
            than 1e-5 (of outputs above 1: relative to the largest). The folder is then as it was.

    Example:
        >>> import torch
        >>> from fdkd_lightning import ResNet, UnimodalModule
        >>> module = UnimodalModule(ResNet(10, in_chans=1, channels=(8, 8, 8, 8)), "visual")
        >>> pictures = torch.randn(2, 1, 32, 32)
        >>> folder = Path(tempfile.mkdtemp())
        >>> [written] = export_student(module, folder, pictures, ["torch_export"])
        >>> graph = torch.export.load(folder / "model.pt2").module()
        >>> graph(torch.randn(7, 1, 32, 32))["logits"].shape
        torch.Size([7, 10])
    """
    folder = Path(folder)
    _check(formats, network, folder)
    student = prepare(module, example, modality, network, transform, class_names, meaning)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the final one, so that nothing is left of what fails.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        found = _write(student, Path(temporary), formats, facts)
        folder.mkdir(exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
            if (Path(temporary) / name).exists():
                os.replace(Path(temporary) / name, folder / name)
    return [replace(artefact, path=folder / artefact.path.name) for artefact in found]


def check_formats(names: Sequence[str]) -> list[Format]:
    """The formats of these names; what they need is there.

    Raises:
        ExportError: If one is unknown, or needs a package that is missing.
    """
    found = [kind for kind in FORMATS if kind in names]
    unknown = [name for name in names if name not in FORMATS]
    if isinstance(names, str) or unknown or not found:
        raise ExportError(f"formats={names!r} must be one or more of {', '.join(FORMATS)}")
    if "onnx" in found:
        onnx.require_onnx()
    return found


def _check(formats: Sequence[str], network: Any, folder: Path) -> None:
    if "hub" in check_formats(formats) and network is None:
        raise ExportError(
            "the format hub needs to know how the network is built: give network="
            "{'class_path': ..., 'init_args': {...}} (fdkd export takes it from the module's "
            "argument student or model), or leave hub out of formats"
        )
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _ours(folder))):
        raise ExportError(
            f"folder={str(folder)!r} holds something else than an export: give another, or empty it"
        )


def _ours(folder: Path) -> bool:
    """Whether the folder holds an export: what is replaced is only ever our own."""
    try:
        return "fdkd_lightning" in json.loads((folder / weights.CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False


def _write(
    student: Student, folder: Path, formats: Sequence[str], facts: RunFacts | None
) -> list[Artefact]:
    # First, for the configuration tells what the graphs take.
    graphs = _write_graphs(student, folder, formats)
    weights.write_config(student.config, folder)
    written = []
    # The hub's folder has the weights in any case.
    if {"safetensors", "hub"} & {*formats}:
        path = weights.write_weights(student, folder)
        written.append(_compared("safetensors", path, student, _read_back(student, folder)))
    written += graphs
    if "hub" in formats:
        path = write_card(student.config, facts, [entry.path.name for entry in written], folder)
        written.append(_compared("hub", path, student, _from_hub(student, folder)))
    return written


def _write_graphs(student: Student, folder: Path, formats: Sequence[str]) -> list[Artefact]:
    if not {"torch_export", "onnx"} & {*formats}:
        return []
    program = torch_export.trace(student)
    takes = student.config["graph_inputs"] = torch_export.inputs_of(student, program)
    # What the tracer says of lengths gives way to what each file was seen to take.
    traced = {name: entry.pop("L") for name, entry in takes["tensors"].items() if "L" in entry}
    written = []
    for kind in (kind for kind in ("torch_export", "onnx") if kind in formats):
        if kind == "torch_export":
            path = torch_export.write_graph(program, folder)
            found = torch_export.run_graph(path)
        else:
            path = onnx.write_onnx(student, program, folder)
            found = onnx.run_onnx(path, student.config["modality"] or "input")
        difference = parity(kind, student.deployed, found, batches(student.graph_example))
        if traced:
            limits, other = try_lengths(kind, found, student, traced)
            difference = max(difference, other)
            for name, entry in limits.items():
                takes["tensors"][name].setdefault("L", {})[kind] = entry
        written.append(Artefact(kind, path, difference, _size(path)))
    return written


def _compared(kind: str, path: Path, student: Student, found: Run) -> Artefact:
    difference = parity(kind, Deployed(student.network), found, batches(student.example))
    return Artefact(kind, path, difference, _size(path))


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in (path, *path.parent.glob(f"{path.name}.data")))


def _read_back(student: Student, folder: Path) -> Run:
    spec, bare = student.config["network"], None
    if spec is None:
        bare = copy.deepcopy(student.network)
        for value in bare.state_dict().values():
            value.zero_()
    return Deployed(weights.load_student(folder, weights.untrusted(spec), bare)).eval()


def _from_hub(student: Student, folder: Path) -> Run:
    if weights.untrusted(student.config["network"]):
        return _read_back(student, folder)
    # It tells where it reads from.
    with contextlib.redirect_stdout(io.StringIO()):
        return Deployed(ExportedStudent.from_pretrained(folder)).eval()
