"""Names that resemble a misspelt one: of classes, their arguments, and the parser's keys."""

import difflib
import inspect
import sys
from collections.abc import Collection
from typing import Any

from fdkd_lightning.ops.near_names import did_you_mean

PACKAGES = ("fdkd_lightning", "lightning", "torch", "torchmetrics", "torchvision", "timm")

NAMESPACES = (
    "fdkd_lightning",
    "fdkd_lightning.data",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "torch.optim",
    "torch.optim.lr_scheduler",
)
"""Where a name without a module may come from."""


def near(name: str, known: Collection[str]) -> str:
    """Return ``did you mean ...?``, or the known names if they are few, or an empty text.

    Example:
        >>> near("treshold", ["threshold", "norm"]), near("x", ["threshold", "norm"])
        ('did you mean threshold?', 'choose one of threshold, norm')
        >>> near("over", ["overwrite", "trainer"])
        'did you mean overwrite?'
    """
    begun = [candidate for candidate in known if len(name) > 1 and candidate.startswith(name)][:3]
    few = f"choose one of {', '.join(known)}" if 0 < len(known) <= 20 else ""
    return did_you_mean(name, known) or (f"did you mean {' or '.join(begun)}?" if begun else few)


def argument_names(class_path: str) -> list[str]:
    """Return the names of a class's arguments; none if the class cannot be imported."""
    found = _imported(class_path)
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in named]


def class_with(argument: str, space: str, first: str) -> str:
    """Return the import path of a class that has an argument; an empty text if none has.

    Args:
        argument: Name of the argument.
        space: Module of the classes, imported already.
        first: Name of the class to prefer.

    Example:
        >>> import torch
        >>> class_with("lr", "torch.optim", "SGD"), class_with("betas", "torch.optim", "SGD")
        ('torch.optim.SGD', 'torch.optim.Adam')
    """
    paths = [f"{space}.{name}" for name in (first, *sorted(_classes(_imported(space))))]
    return next((path for path in paths if argument in argument_names(path)), "")


def near_class(class_path: str) -> str:
    """Return the remedy for a class path that does not exist.

    Example:
        >>> import fdkd_lightning  # only what is imported is proposed
        >>> near_class("fdkd_lightning.RsNet")
        'did you mean fdkd_lightning.ResNet?'
    """
    module, _, name = class_path.rpartition(".")
    if not module:
        known = [f"{space}.{x}" for space in NAMESPACES for x in _classes(_imported(space))]
        short = {path.rpartition(".")[2]: path for path in reversed(known)}
        found = difflib.get_close_matches(name, short, n=2)
        meant = " or ".join(short[x] for x in found)
        return f"did you mean {meant}?" if found else "give an import path, module.Class"
    package = module.partition(".")[0]
    container = _imported(module)
    if container is not None:
        found = difflib.get_close_matches(name, _classes(container), n=2)
        if found:
            return f"did you mean {' or '.join(f'{module}.{x}' for x in found)}?"
        return f"give the import path of a class; {module} has none of that name"
    near_package = difflib.get_close_matches(package, PACKAGES, n=1, cutoff=0.7)
    if near_package and near_package[0] != package:
        return f"did you mean {near_package[0]}{class_path.removeprefix(package)}?"
    short_path = near_class(name)
    return short_path if short_path.startswith("did") else "give an import path, module.Class"


def _classes(container: Any) -> list[str]:
    names = getattr(container, "__all__", None) or dir(container)
    return [name for name in names if name[:1].isupper()]


def _imported(path: str) -> Any:
    """A module, or an entry of one, that is imported already; None if there is none."""
    # The parser has tried to import it. Another attempt would run a user's module twice.
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        found: Any = sys.modules.get(".".join(parts[:count]))
        if found is not None:
            for part in parts[count:]:
                found = getattr(found, part, None)
            return found
    return None
