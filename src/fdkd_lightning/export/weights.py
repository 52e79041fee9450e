"""Weights and ``config.json``: the student for those who have this package."""

import inspect
import json
import os
import reprlib
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
READERS = {
    "TimmModel": ("name", "timm"),
    "DeepLabV3Plus": ("encoder", "timm"),
    "TransformersModel": ("source", "transformers"),
}
"""Our networks that are built by a name which the package looks up, and the argument it is in."""


def write_weights(student: Student, folder: Path) -> Path:
    """Write the weights, under the names of the network's state dict."""
    path = folder / WEIGHTS
    save_model(student.network, str(path), metadata={"format": "pt"})
    # safetensors lets the owner alone read it.
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
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
    taken as plain values, never as names of code. Nor is anything fetched: where timm or
    transformers would look up a name on a hub or in a folder (``hf-hub:...``, a ``source``), name
    that package.

    Args:
        folder: Where ``config.json`` and ``model.safetensors`` are.
        trust: Other packages whose classes and functions may be called with arguments of the file:
            yours, or torchvision.
        network: The network to fill, where ``config.json`` does not say how it is built or you
            build it yourself.

    Raises:
        FileNotFoundError: If the folder lacks one of the files.
        ValueError: If ``config.json`` describes no network, a class is not trusted, no network or
            cannot be built from its arguments, or the weights do not fit.

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
        if not isinstance(config, dict):
            raise ValueError(f"{folder / CONFIG} holds {type(config).__name__}, not a description")
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
        spec: ``{"class_path": ..., "init_args": {...}}``, and ``dict_kwargs`` for a function that
            takes more arguments than it names; arguments may hold the like.
        trust: As in :func:`load_student`.

    Raises:
        ValueError: If it describes no network, or a class is not trusted, none of networks, or
            cannot be built from the arguments.

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
    if "class_path" in spec:
        path, arguments = _parts(spec)
        reader = _reader(path.rpartition(".")[2], arguments)
        found |= {reader} if reader is not None else set()
        found |= set() if _is_of(path, OWN) else {path.split(".")[0]}
    return sorted(found)


def _value(value: Any, trust: Sequence[str]) -> Any:
    if isinstance(value, dict):
        if "class_path" in value:
            return _made(value, trust)
        return {name: _value(entry, trust) for name, entry in value.items()}
    return [_value(entry, trust) for entry in value] if isinstance(value, list) else value


def _made(spec: dict[str, Any], trust: Sequence[str]) -> Any:
    path, arguments = _parts(spec)
    found = _found(path, trust)
    kind = getattr(found, "__name__", "")
    reader = _reader(kind, arguments)
    if reader is not None and reader not in trust:
        argument = READERS[kind][0]
        short = reprlib.repr(arguments[argument])
        raise ValueError(
            f"the network is made of {path} with {argument}={short}, which "
            f"{reader} looks up on a hub or in a folder: if you trust that, give trust=[{reader!r}]"
        )
    takes = inspect.signature(found).parameters
    built = {}
    for name, value in arguments.items():
        # A configuration writes a dataclass as its fields alone.
        fields = name in takes and Layers in get_args(takes[name].annotation)
        if fields and isinstance(value, dict):
            built[name] = _called(f"{path}'s {name}", Layers, value)
        else:
            built[name] = _value(value, trust)
    return _called(path, found, built)


def _parts(spec: Any) -> tuple[str, dict[str, Any]]:
    """Class path and arguments of a description, those for ``**kwargs`` included."""
    path = spec.get("class_path") if isinstance(spec, dict) else None
    parts = [spec.get(k) or {} for k in ("init_args", "dict_kwargs")] if path else []
    if not isinstance(path, str) or not all(isinstance(part, dict) for part in parts):
        raise ValueError(
            f"the network is described by {spec!r}: it must be "
            "{'class_path': ..., 'init_args': {...}}"
        )
    return path, {name: value for part in parts for name, value in part.items()}


def _reader(kind: str, arguments: dict[str, Any]) -> str | None:
    """The package that would look elsewhere for what a network of ours is."""
    argument, package = READERS.get(kind, ("", ""))
    value = arguments.get(argument)
    # timm finds a plain name in itself.
    named = isinstance(value, str) and (package != "timm" or ":" in value)
    return package if named or _names_a_part(value) else None


def _names_a_part(config: Any) -> bool:
    """Whether a configuration of transformers has a part that is looked up by its name."""
    if isinstance(config, dict):
        parts = ("architecture", "backbone", "use_pretrained_backbone")
        return any(
            (key in parts and value) or _names_a_part(value) for key, value in config.items()
        )
    return isinstance(config, list) and any(_names_a_part(value) for value in config)


def _called(path: str, found: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return found(**arguments)
    except Exception as error:  # whatever it makes of values that may be anybody's
        raise ValueError(f"{path} cannot be built from {sorted(arguments)}: {error}") from error


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
