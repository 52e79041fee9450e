"""The student's weights and ``config.json``, written and read with this package."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.build_limit import BuildLimit
from fdkd_lightning.export.rebuild import build_network
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.models.weight_checks import check_weights

WEIGHTS, CONFIG = "model.safetensors", "config.json"
DIGEST = "sha256"
"""Key of the hash of names and weights in the file's metadata."""
GIVE_A_FOLDER = "give a folder that fdkd export wrote with the format safetensors or hub"
EXPORT_AGAIN = "export the student again, or copy the file again"


def save_weights(network: nn.Module, path: Path) -> Path:
    """Write a network's weights with their hash, so that damage is noticed; return the path."""
    try:
        save_model(network, str(path), metadata={"format": "pt"})
        weights, metadata = _read(path)
        save_file(weights, path, metadata={**metadata, DIGEST: _digest(weights)})
    except SafetensorError as error:
        # safetensors reports the system's error, such as a full disk, in its own.
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        raise
    _sort_metadata(path)
    # safetensors makes the file readable by its owner alone.
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
    return path


def write_config(config: dict[str, Any], folder: Path) -> None:
    """Write ``config.json``: inputs, outputs, and how the network is built."""
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
        ValueError: If a file is damaged; if ``config.json`` describes no network, or one far
            larger than the weights; if a class is not trusted, not a network, or cannot be built
            from its arguments; or if the weights do not fit or are NaN.

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
    weights = None
    if network is None:
        spec = read_config(folder).get("network")
        if spec is None:
            raise ValueError(
                f"{folder / CONFIG} does not describe the network: build it yourself and call "
                f"load_student({str(folder)!r}, network=...)"
            )
        weights = read_weights(folder / WEIGHTS)
        with BuildLimit(weights):
            network = build_network(spec, trust)
    else:
        read_config(folder)
    fill(network, folder / WEIGHTS, weights)
    return network.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's ``config.json``."""
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {GIVE_A_FOLDER}")
    return read_json(path, EXPORT_AGAIN)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file, those under a second name included."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {GIVE_A_FOLDER}")
    try:
        weights, metadata = _read(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): {EXPORT_AGAIN}") from error
    digest = metadata.get(DIGEST)
    if digest is not None and digest != _digest(weights):
        raise ValueError(f"{path} is damaged (its weights are not those written): {EXPORT_AGAIN}")
    # Weights that several names share are stored once.
    shared = {name: weights[kept] for name, kept in metadata.items() if kept in weights}
    return {**shared, **weights}


def fill(network: nn.Module, path: Path, weights: dict[str, Tensor] | None = None) -> None:
    """Read a file, or its content if that is given, into a network."""
    weights = read_weights(path) if weights is None else weights
    check_weights(str(path), weights, network.state_dict(), type(network).__name__)
    network.load_state_dict(weights)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        names = file.keys()  # an open file cannot be iterated itself
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def _sort_metadata(path: Path) -> None:
    """Give equal weights equal bytes: safetensors writes the metadata in random order."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # The tensors begin where they did: the text is as long as it was, but for spaces at its end.
    path.write_bytes(content[:8] + text.ljust(size) + content[8 + size :])


def _digest(weights: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        found.update(f"{name} {weight.dtype} {list(weight.shape)}\n".encode())
        found.update(weight.contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
