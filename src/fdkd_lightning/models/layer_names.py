"""Which layer of a network a name means."""

import difflib
import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from torch import nn

Side = Literal["input", "output"]


class Spot(NamedTuple):
    """A place in a network: a layer, and before or after it."""

    name: str
    side: Side


def find_layer(model: nn.Module, pattern: str, argument: str) -> Spot:
    """The one layer that is meant, or an error that names those that may be."""
    found = find_layers(model, pattern, argument)
    if len(found) > 1:
        names = [spot.name for spot in found]
        raise ValueError(
            f"{argument}={pattern!r} means {len(found)} layers ({', '.join(names[:5])}"
            f"{', ...' if len(names) > 5 else ''}): name one of them"
        )
    return found[0]


def find_layers(model: nn.Module, pattern: str, argument: str) -> list[Spot]:
    """The layers that a name with ``*`` means, in the order in which the network has them.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.ReLU()))
        >>> find_layers(model, "1.*:input", "maps")
        [Spot(name='1.0', side='input'), Spot(name='1.1', side='input')]
    """
    name, colon, end = pattern.partition(":")
    if colon and end not in get_args(Side):
        raise ValueError(
            f"{argument}={pattern!r} ends in {colon + end!r}: write '{name}:input' for what goes "
            f"into the layer, {name!r} for what it gives"
        )
    side: Side = "input" if end == "input" else "output"
    # A layer that is in the network twice has two names, but is one of those meant by a ``*``.
    names = [own for own, _ in model.named_modules(remove_duplicate=False)]
    found = [name] if name in names else _matching(model, name)
    if not found:
        raise ValueError(f"{argument}={pattern!r} is no layer of {_hint(model, name, names)}")
    return [Spot(own, side) for own in found]


def classifier_name(model: nn.Module) -> str:
    """The layer that gives the logits: what timm names so (the first of two), or the last linear.

    Example:
        >>> classifier_name(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2), nn.Softmax(1)))
        '1'
    """
    own = getattr(model, "pretrained_cfg", None)
    name = own.get("classifier") if isinstance(own, Mapping) else None
    # Distilled networks of timm have a second one, which is read off another token.
    name = name[0] if isinstance(name, list | tuple) else name
    part = _part(model, name) if isinstance(name, str) else None
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if isinstance(part, nn.Identity) or (part is None and not linear):
        raise ValueError(
            f"{type(model).__name__} has no classifier, whose input would be the features: name "
            "the layer that gives them, Layers(features=...), one of or within "
            + ", ".join(child for child, _ in model.named_children())
        )
    return linear[-1] if part is None else str(name)


def _matching(model: nn.Module, pattern: str) -> list[str]:
    """The names that are alike part by part, so that ``*`` does not reach into a layer."""
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
    """What there is where the name goes wrong, and which names are like it."""
    owner, _, last = name.rpartition(".")
    # layer4[1] and fc.input are how these are written in Python, layer4.1 and fc:input how here.
    sides = [f"{owner}:{last}"] if last in get_args(Side) and owner in names else []
    near = difflib.get_close_matches(re.sub(r"\[(\w+)\]", r".\1", name), names, n=3, cutoff=0.5)
    # A wrong prefix is the most frequent mistake: the same end elsewhere.
    ends = [own for own in names if f".{own}".endswith(f".{last}")][:3]
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
