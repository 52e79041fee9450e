"""Layers of a network by name, with wildcards."""

import difflib
import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from torch import nn

Side = Literal["input", "output"]


class LayerSide(NamedTuple):
    """The input or output of a layer."""

    name: str
    side: Side


def find_layer(model: nn.Module, pattern: str, argument: str) -> LayerSide:
    """Return the single layer that matches a name, as in :func:`find_layers`."""
    found = find_layers(model, pattern, argument)
    if len(found) > 1:
        names = [layer.name for layer in found]
        raise ValueError(
            f"{argument}={pattern!r} matches {len(found)} layers ({', '.join(names[:5])}"
            f"{', ...' if len(names) > 5 else ''}): name one of them"
        )
    return found[0]


def find_layers(model: nn.Module, pattern: str, argument: str) -> list[LayerSide]:
    """Return the layers that match a name with ``*``, in the network's order.

    Args:
        model: The network.
        pattern: A name of ``model.named_modules()``, with ``*`` for anything between two dots and
            ``:input`` at the end for the layer's input.
        argument: The argument's name in errors.

    Raises:
        ValueError: If no layer matches, or the name ends in an unknown side.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.ReLU()))
        >>> find_layers(model, "1.*:input", "maps")
        [LayerSide(name='1.0', side='input'), LayerSide(name='1.1', side='input')]
    """
    name, colon, end = pattern.partition(":")
    if colon and end not in get_args(Side):
        raise ValueError(
            f"{argument}={pattern!r} ends in {colon + end!r}: write '{name}:input' for the layer's "
            f"input, {name!r} for its output"
        )
    side: Side = "input" if end == "input" else "output"
    # A shared layer has two names, but matches a ``*`` once.
    names = [known for known, _ in model.named_modules(remove_duplicate=False)]
    found = [name] if name in names else _matching(model, name)
    if not found:
        raise ValueError(f"{argument}={pattern!r} is no layer of {_hint(model, name, names)}")
    return [LayerSide(matched, side) for matched in found]


def classifier_name(model: nn.Module) -> str:
    """Return the name of the classifier.

    It is the layer that timm's ``pretrained_cfg`` names (the first of two), or else the last
    ``nn.Linear`` outside of auxiliary heads (``aux...``).

    Example:
        >>> classifier_name(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2), nn.Softmax(1)))
        '1'
    """
    timm_config = getattr(model, "pretrained_cfg", None)
    name = timm_config.get("classifier") if isinstance(timm_config, Mapping) else None
    # Distilled networks of timm have a second classifier, for the distillation token.
    name = name[0] if isinstance(name, list | tuple) else name
    part = _part(model, name) if isinstance(name, str) else None
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    # Auxiliary classifiers, as of torchvision's networks, help training and are not what is used.
    main = [x for x in linear if not any(step.lower().startswith("aux") for step in x.split("."))]
    linear = main or linear
    if isinstance(part, nn.Identity) or (part is None and not linear):
        raise ValueError(
            f"{type(model).__name__} has no classifier whose input would be the features: name "
            "the layer that returns them, Layers(features=...), one of or within "
            + ", ".join(child for child, _ in model.named_children())
        )
    return linear[-1] if part is None else str(name)


def _matching(model: nn.Module, pattern: str) -> list[str]:
    """Return the names that match part by part, so that ``*`` does not match a dot."""
    patterns = pattern.split(".")
    return [
        name
        for name, _ in model.named_modules()
        if len(parts := name.split(".")) == len(patterns)
        and all(map(fnmatch.fnmatchcase, parts, patterns))
    ]


def _part(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _hint(model: nn.Module, name: str, names: Sequence[str]) -> str:
    """Return the children where the name goes wrong, and similar names."""
    owner, _, last = name.rpartition(".")
    # Python's layer4[1] and fc.input are written layer4.1 and fc:input here.
    sides = [f"{owner}:{last}"] if last in get_args(Side) and owner in names else []
    near = difflib.get_close_matches(re.sub(r"\[(\w+)\]", r".\1", name), names, n=3, cutoff=0.5)
    # The most frequent mistake is a wrong prefix.
    ends = [known for known in names if f".{known}".endswith(f".{last}")][:3]
    parent = name
    while parent not in names:
        parent = parent.rpartition(".")[0]
    children = [child for child, _ in model.get_submodule(parent).named_children()]
    whose = f", whose {parent!r} has" if parent else ", which has"
    hint = f"{type(model).__name__}{whose}: {', '.join(children[:12]) or 'nothing inside'}"
    if len(children) > 12:
        hint += ", ..."
    meant = list(dict.fromkeys([*sides, *near, *ends]))[:3]
    if meant:
        hint += f". Do you mean {' or '.join(map(repr, meant))}?"
    return f"{hint} (named_modules() lists all)"
