"""The student's weights and ``config.json``, written and read with this package."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from fdkd_lightning.export.base import ExportError, Student
from fdkd_lightning.export.rebuild import build_network
from fdkd_lightning.ops.read_file import read_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def write_weights(student: Student, folder: Path) -> Path:
    """Write the weights under the names of the network's state dict; return the file's path."""
    path = folder / WEIGHTS
    save_model(student.network, str(path), metadata={"format": "pt"})
    # safetensors makes the file readable by its owner alone.
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
    return path


def write_config(config: dict[str, Any], folder: Path) -> None:
    """Write ``config.json``: inputs, outputs, and how the network is built.

    Raises:
        ExportError: If the network's arguments are not plain values.
    """
    try:
        text = json.dumps(config, indent=2, ensure_ascii=False)
    except TypeError as error:
        raise ExportError(
            f"the network's arguments cannot be written as JSON ({error}): use numbers, strings, "
            "lists and {class_path, init_args} only"
        ) from error
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_student(
    folder: str | Path, trust: Sequence[str] = (), network: nn.Module | None = None
) -> nn.Module:
    """Load the network of an exported folder, in eval mode.

    ``config.json`` names classes, and building a network runs their code. Therefore only classes
    of ``torch.nn.Module`` that this package or ``torch.nn`` define are built, unless you trust
    other packages by name. Arguments are plain values, never names of code. Nothing is unpickled
    or downloaded: where timm or transformers would look up a name on a hub or in a folder
    (``hf-hub:...``, a ``source``), trust that package.

    Args:
        folder: Folder with ``config.json`` and ``model.safetensors``.
        trust: Packages whose classes and functions may be called with arguments from the file,
            such as your own or torchvision.
        network: Network to load the weights into; None: build it from ``config.json``.

    Returns:
        The network, which returns :class:`~fdkd_lightning.Output`.

    Raises:
        FileNotFoundError: If the folder lacks one of the files.
        ValueError: If ``config.json`` describes no network; if a class is not trusted, not a
            network, or cannot be built from its arguments; or if the weights do not fit.

    Example:
        >>> from tempfile import mkdtemp
        >>> import torch
        >>> from fdkd_lightning import NgramNet, export_student
        >>> folder, tokens = mkdtemp(), torch.randint(1, 256, (2, 20))
        >>> network = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"num_classes": 8}}
        >>> written = export_student(NgramNet(8), folder, tokens, ["safetensors"], network=network)
        >>> load_student(folder)(tokens).logits.shape
        torch.Size([2, 8])
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} does not exist: give a folder that fdkd export wrote with the "
                "format safetensors or hub"
            )
    if network is None:
        config = read_json(folder / CONFIG)
        spec = config.get("network")
        if spec is None:
            raise ValueError(
                f"{folder / CONFIG} does not describe the network: build it yourself and call "
                f"load_student({str(folder)!r}, network=...)"
            )
        network = build_network(spec, trust)
    fill(network, folder / WEIGHTS)
    return network.eval()


def fill(network: nn.Module, path: Path) -> None:
    """Read weights into a network.

    Raises:
        ValueError: If the file is damaged, or its names and shapes are not the network's.
    """
    try:
        load_model(network, path)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} does not fit {type(network).__name__}: {error}") from error
