"""Weights and ``config.json``: the student for those who have this package."""

import inspect
import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from fdkd_lightning.export.base import ExportError, Student
from fdkd_lightning.models.layers import Layers

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OWN = ("fdkd_lightning", "torch.nn")
"""Packages whose networks a ``config.json`` may name without being asked."""


def write_weights(student: Student, folder: Path) -> Path:
    """Write the weights, under the names of the network's state dict."""
    path = folder / WEIGHTS
    save_model(student.network, str(path), metadata={"format": "pt"})
    return path


def write_config(config: dict[str, Any], folder: Path) -> None:
    """Write what the files take and give, and how the network is built."""
    try:
        text = json.dumps(config, indent=2, ensure_ascii=False)
    except TypeError as error:
        raise ExportError(
            f"the network's arguments cannot be written as JSON ({error}): give it numbers, texts, "
            "lists and {class_path, init_args} alone"
        ) from error
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_student(
    folder: str | Path, trust: Sequence[str] = (), network: nn.Module | None = None
) -> nn.Module:
    """The network of an exported folder, in eval mode.

    Nothing is unpickled. ``config.json`` may name classes, and what it names is imported and
    called. So only classes of networks (``torch.nn.Module``) that this package or ``torch.nn``
    define are built; what another package defines only if you name that package. Arguments are
    taken as plain values, never as names of code.

    Args:
        folder: Where ``config.json`` and ``model.safetensors`` are.
        trust: Other packages whose classes and functions may be called with arguments of the file:
            yours, or torchvision.
        network: The network to fill, where ``config.json`` does not say how it is built or you
            build it yourself.

    Raises:
        FileNotFoundError: If the folder lacks one of the files.
        ValueError: If a class is not trusted or no network, or the weights do not fit.

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
                f"{folder / name} is not there: give the folder that fdkd export wrote with the "
                "format safetensors"
            )
    if network is None:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        spec = config.get("network")
        if spec is None:
            raise ValueError(
                f"{folder / CONFIG} does not say how the network is built: build it and give it "
                f"(load_student({str(folder)!r}, network=...))"
            )
        network = build_network(spec, trust)
    fill(network, folder / WEIGHTS)
    return network.eval()


def fill(network: nn.Module, path: Path) -> None:
    """Read the weights into a network that they must fit."""
    try:
        load_model(network, path)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} does not fit {type(network).__name__}: {error}") from error


def build_network(spec: Any, trust: Sequence[str] = ()) -> nn.Module:
    """The network, with random weights, that a class path and its arguments describe.

    Args:
        spec: ``{"class_path": ..., "init_args": {...}}``; arguments may hold the like.
        trust: As in :func:`load_student`.

    Raises:
        ValueError: If a class is not trusted, or none of networks.

    Example:
        >>> build_network({"class_path": "torch.nn.Flatten", "init_args": {"start_dim": 2}})
        Flatten(start_dim=2, end_dim=-1)
    """
    made = _made(spec, trust)
    if not isinstance(made, nn.Module):
        raise ValueError(
            f"the network is made of {spec['class_path']}, which gives no torch.nn.Module"
        )
    return made


def untrusted(spec: Any) -> list[str]:
    """The packages that :func:`load_student` must be told to trust.

    Example:
        >>> stem = {"class_path": "torch.nn.ReLU"}
        >>> untrusted({"class_path": "mine.Net", "init_args": {"stem": stem}})
        ['mine']
    """
    if isinstance(spec, list):
        return sorted({package for value in spec for package in untrusted(value)})
    if not isinstance(spec, dict):
        return []
    found = {package for value in spec.values() for package in untrusted(value)}
    if "class_path" in spec and not _is_of(spec["class_path"], OWN):
        found.add(spec["class_path"].split(".")[0])
    return sorted(found)


def _value(value: Any, trust: Sequence[str]) -> Any:
    if isinstance(value, dict):
        if "class_path" in value:
            return _made(value, trust)
        return {name: _value(entry, trust) for name, entry in value.items()}
    return [_value(entry, trust) for entry in value] if isinstance(value, list) else value


def _made(spec: dict[str, Any], trust: Sequence[str]) -> Any:
    path, arguments = spec["class_path"], spec.get("init_args") or {}
    found = _found(path, trust)
    takes = inspect.signature(found).parameters
    built = {
        # A configuration writes a dataclass as its fields alone.
        name: Layers(**value)
        if name in takes and Layers in get_args(takes[name].annotation) and isinstance(value, dict)
        else _value(value, trust)
        for name, value in arguments.items()
    }
    try:
        return found(**built)
    except TypeError as error:
        raise ValueError(f"{path} cannot be built from {sorted(built)}: {error}") from error


def _found(path: str, trust: Sequence[str]) -> Callable[..., Any]:
    """What a path names, if it may be called."""
    if not _is_of(path, (*OWN, *trust)):
        package = path.split(".")[0]
        raise ValueError(
            f"the network is made of {path}, and building it runs that package's code: if you "
            f"trust what is installed here as {package!r}, give trust=[{package!r}]"
        )
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the network is made of {path}, which Python does not find here: {error}"
        ) from error
    # A name within our modules may be one that these import.
    home = f"{getattr(found, '__module__', None)}.{name}"
    if callable(found) and _is_of(home, trust):
        called: Callable[..., Any] = found
        return called
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"the network is made of {path}, which is no torch.nn.Module")
    if not _is_of(home, OWN):
        raise ValueError(
            f"the network is made of {path}, which {found.__module__} defines: name it by that, "
            "and trust it if you do"
        )
    return found


def _is_of(path: str, packages: Sequence[str]) -> bool:
    return any(path.startswith(f"{package}.") for package in packages)
