"""Write a trained student, load the files again and compare them."""

import contextlib
import copy
import io
import json
import shutil
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
from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.lengths import try_lengths
from fdkd_lightning.export.rebuild import required_trust
from fdkd_lightning.export.run_facts import RunFacts
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.files.atomic_folder import atomic_folder

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
    r"""Write a trained student on its own, load each file again and compare it with the student.

    The files need no teacher, criterion or projector; the graphs do not need this package either.

    ================  ==================================================================
    format            files
    ================  ==================================================================
    ``safetensors``   ``model.safetensors``, for :func:`~fdkd_lightning.load_student`
    ``torch_export``  ``model.pt2``, for ``torch.export.load(path).module()``
    ``onnx``          ``model.onnx``, for onnxruntime and other engines
    ``hub``           ``model.safetensors`` and a model card ``README.md``: a folder for
                      ``hf upload``, for :class:`~fdkd_lightning.ExportedStudent`
    ================  ==================================================================

    ``config.json`` is always written and describes inputs and outputs. The graphs return
    ``logits`` and ``features`` for any batch size and, if the network allows it, for tokens and
    waveforms [N, L] of any length within the limits in ``config.json``. These limits are found by
    running each file; ``tried`` lists the lengths that were run. Everything is float32 and in
    eval mode. The module itself is not changed.

    Args:
        module: A ``UnimodalModule`` or ``DistillationModule``, or a network that returns
            :class:`~fdkd_lightning.Output`.
        folder: Folder to write. An earlier export in it is replaced, with its card.
        example: Input of the network or, with ``transform``, of the transform: two samples or
            more.
        formats: Formats to write.
        modality: Name of the input; None: the module's modality, if it has one.
        network: Class path and arguments of the network, as in a configuration, to build it
            again; None: :func:`~fdkd_lightning.load_student` must be given a network. ``hub``
            needs it.
        transform: First part of the graphs, such as a spectrogram; they then take waveforms.
        class_names: K names.
        meaning: Description of the example, for ``config.json`` and the card.
        facts: What the card states about the run.

    Returns:
        The files, each with its size and its largest difference from the student.

    Raises:
        ValueError: If a format is unknown or lacks a package or argument, the folder holds other
            files, the network cannot be traced, or a file's outputs differ from the student's by
            more than 1e-5 (relative to the largest for outputs above 1). The folder is then
            unchanged.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from fdkd_lightning import ResNet, UnimodalModule
        >>> network = ResNet(10, in_chans=1, layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
        >>> module = UnimodalModule(network, "visual")
        >>> images = torch.randn(2, 1, 32, 32)
        >>> folder = Path(tempfile.mkdtemp())
        >>> [written] = export_student(module, folder, images, ["torch_export"])
        >>> graph = torch.export.load(folder / "model.pt2").module()
        >>> graph(torch.randn(7, 1, 32, 32))["logits"].shape
        torch.Size([7, 10])
    """
    folder = Path(folder)
    _check(formats, network, folder)
    student = make_standalone(module, example, modality, network, transform, class_names, meaning)
    # A failed export leaves the folder as it was. Files that are not an export's stay.
    with atomic_folder(folder) as new:
        written = _write(student, new, formats, facts)
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in FILES:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, new / path.name)
    return [replace(artefact, path=folder / artefact.path.name) for artefact in written]


def check_formats(names: Sequence[str]) -> list[Format]:
    """Return the named formats, each once and in a fixed order."""
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
            "the format hub needs the network's description: give network="
            "{'class_path': ..., 'init_args': {...}} (fdkd export reads it from the module's "
            "argument student or model), or leave hub out of formats"
        )
    if folder.exists() and not (
        folder.is_dir() and (_holds_export(folder) or not any(folder.iterdir()))
    ):
        raise ExportError(
            f"folder={str(folder)!r} holds other files than an export: give another, or empty it"
        )


def _holds_export(folder: Path) -> bool:
    """Whether a folder was written by an export, and may be replaced."""
    try:
        return "fdkd_lightning" in json.loads((folder / weights.CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False


def _write(
    student: Student, folder: Path, formats: Sequence[str], facts: RunFacts | None
) -> list[Artefact]:
    # First: config.json describes the graphs' inputs.
    graphs = _write_graphs(student, folder, formats)
    weights.write_config(student.config, folder)
    written = []
    if {"safetensors", "hub"} & {*formats}:
        path = weights.save_weights(student.network, folder / weights.WEIGHTS)
        written.append(_compared("safetensors", path, student, _load(student, folder)))
    written += graphs
    if "hub" in formats:
        path = write_card(student.config, facts, [entry.path.name for entry in written], folder)
        written.append(_compared("hub", path, student, _load_as_hub(student, folder)))
    return written


def _write_graphs(student: Student, folder: Path, formats: Sequence[str]) -> list[Artefact]:
    if not {"torch_export", "onnx"} & {*formats}:
        return []
    program = torch_export.trace(student)
    takes = student.config["graph_inputs"] = torch_export.inputs_of(student, program)
    # The tracer's limits are replaced by those found for each file.
    traced = {name: entry.pop("L") for name, entry in takes["tensors"].items() if "L" in entry}
    written = []
    for kind in (kind for kind in ("torch_export", "onnx") if kind in formats):
        if kind == "torch_export":
            path = torch_export.write_graph(program, folder)
            loaded = torch_export.run_graph(path)
        else:
            path = onnx.write_onnx(student, program, folder)
            loaded = onnx.run_onnx(path, student.config["modality"] or "input")
        difference = parity(kind, student.deployed, loaded, batches(student.graph_example))
        if traced:
            limits, other = try_lengths(kind, loaded, student, traced)
            difference = max(difference, other)
            for name, entry in limits.items():
                takes["tensors"][name].setdefault("L", {})[kind] = entry
        written.append(Artefact(kind, path, difference, _size(path)))
    return written


def _compared(kind: str, path: Path, student: Student, loaded: Run) -> Artefact:
    difference = parity(kind, Deployed(student.network), loaded, batches(student.example))
    return Artefact(kind, path, difference, _size(path))


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in (path, *path.parent.glob(f"{path.name}.data")))


def _load(student: Student, folder: Path) -> Run:
    spec, empty = student.config["network"], None
    if spec is None:
        empty = copy.deepcopy(student.network)
        for value in empty.state_dict().values():
            value.zero_()
    return Deployed(weights.load_student(folder, required_trust(spec), empty)).eval()


def _load_as_hub(student: Student, folder: Path) -> Run:
    if required_trust(student.config["network"]):
        return _load(student, folder)
    # The mixin prints where it reads from.
    with contextlib.redirect_stdout(io.StringIO()):
        return Deployed(ExportedStudent.from_pretrained(folder)).eval()
