"""Build a network from its class path and arguments, within the rules of trust."""

import inspect
import reprlib
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, get_args

from torch import nn

from fdkd_lightning.models.layers import Layers
from fdkd_lightning.models.pretrained import DeferredModel

TRUSTED = ("fdkd_lightning", "torch.nn")
"""Packages whose networks may be built from any ``config.json``."""
MOVED = {"fdkd_lightning.models.text.NgramNet": "fdkd_lightning.NgramNet"}
"""Class path in folders that an earlier version exported -> class path today."""


def build_network(spec: Any, trust: Sequence[str] = ()) -> nn.Module:
    """Build the network that a class path and its arguments describe, with random weights.

    Args:
        spec: ``{"class_path": ..., "init_args": {...}}``, and ``dict_kwargs`` for a function with
            ``**kwargs``. Arguments are plain values, or lists and dicts of such descriptions.
        trust: Further packages whose classes and functions may be called, as in
            :func:`~fdkd_lightning.load_student`.

    Raises:
        ValueError: If the description is malformed, a class is not trusted, not a
            ``torch.nn.Module``, or cannot be built from the arguments.

    Example:
        >>> build_network({"class_path": "torch.nn.Flatten", "init_args": {"start_dim": 2}})
        Flatten(start_dim=2, end_dim=-1)
    """
    try:
        network = _build(spec, trust)
    except RecursionError as error:
        raise ValueError("the network is described with too many levels") from error
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"the network is made of {spec['class_path']}, which returns no torch.nn.Module"
        )
    return network


def required_trust(spec: Any) -> list[str]:
    """List the packages that a caller must trust to build a network.

    Example:
        >>> stem = {"class_path": "torch.nn.ReLU"}
        >>> required_trust({"class_path": "mine.Net", "init_args": {"stem": stem}})
        ['mine']
    """
    if isinstance(spec, list):
        return sorted({package for value in spec for package in required_trust(value)})
    if not isinstance(spec, dict):
        return []
    packages = {package for value in spec.values() for package in required_trust(value)}
    if "class_path" in spec:
        path, arguments = _parts(spec)
        if not _is_within(path, TRUSTED):
            packages.add(path.split(".")[0])
        elif (looked_up := _looked_up_by(_resolve(path, ()), arguments)) is not None:
            packages.add(looked_up[1])
    return sorted(packages)


def _build(spec: Any, trust: Sequence[str]) -> Any:
    path, arguments = _parts(spec)
    called = _resolve(path, trust)
    looked_up = _looked_up_by(called, arguments)
    if looked_up is not None and looked_up[1] not in trust:
        argument, package = looked_up
        value = reprlib.repr(arguments[argument])
        raise ValueError(
            f"the network is made of {path} with {argument}={value}, which {package} looks up on "
            f"a hub or in a folder: if you trust that, give trust=[{package!r}]"
        )
    parameters = inspect.signature(called).parameters
    built = {}
    for name, value in arguments.items():
        # A configuration writes this dataclass as its fields alone.
        takes_layers = name in parameters and Layers in get_args(parameters[name].annotation)
        if takes_layers and isinstance(value, dict):
            built[name] = _call(f"{path}'s {name}", Layers, value)
        else:
            built[name] = _build_argument(value, trust)
    return _call(path, called, built)


def _build_argument(value: Any, trust: Sequence[str]) -> Any:
    """A plain value as it is; in lists and dicts, networks built from their descriptions."""
    if isinstance(value, list):
        return [_build_argument(entry, trust) for entry in value]
    if not isinstance(value, dict):
        return value
    if "class_path" in value:
        return _build(value, trust)
    return {name: _build_argument(entry, trust) for name, entry in value.items()}


def _resolve(path: str, trust: Sequence[str]) -> Callable[..., Any]:
    """Import what a class path names, if it may be called. These are the rules of trust.

    1. The path begins with a trusted package, ours or the caller's: nothing else is imported.
    2. What is defined in a package that the caller trusts may be called, functions too.
    3. Anything else must be a class of ``torch.nn.Module`` that we or ``torch.nn`` define, not
       a name that our modules merely import.
    """
    path = MOVED.get(path, path)
    package = path.split(".")[0]
    if not _is_within(path, (*TRUSTED, *trust)):
        raise ValueError(
            f"the network is made of {path}, and building it runs that package's code: if you "
            f"trust what is installed here as {package!r}, give trust=[{package!r}]"
        )
    module, _, name = path.rpartition(".")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the network is made of {path}, which Python does not find here: {error}"
        ) from error
    defined_as = f"{getattr(found, '__module__', None)}.{name}"
    if callable(found) and _is_within(defined_as, trust):
        trusted: Callable[..., Any] = found
        return trusted
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"the network is made of {path}, which is no torch.nn.Module")
    if not _is_within(defined_as, TRUSTED):
        raise ValueError(
            f"the network is made of {path}, which {found.__module__} defines: name it by that "
            "path, and trust that package if you do"
        )
    return found


def _looked_up_by(called: Callable[..., Any], arguments: dict[str, Any]) -> tuple[str, str] | None:
    """Argument that one of our classes lets another package look up, and that package."""
    if not (isinstance(called, type) and issubclass(called, DeferredModel)):
        return None
    # Trust in another package includes what its classes look up.
    ours = _is_within(f"{called.__module__}.", TRUSTED)
    return called.looked_up_by(arguments) if ours else None


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


def _call(path: str, called: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return called(**arguments)
    except Exception as error:  # whatever it makes of values that may be anybody's
        raise ValueError(f"{path} cannot be built from {sorted(arguments)}: {error}") from error


def _is_within(path: str, packages: Sequence[str]) -> bool:
    return any(path.startswith(f"{package}.") for package in packages)
