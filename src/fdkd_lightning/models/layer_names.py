"""Which layer of a network a name means."""

import difflib
import fnmatch
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
    name, _, end = pattern.partition(":")
    if end not in ("", *get_args(Side)):
        raise ValueError(f"{argument}={pattern!r} ends in :{end}: only :input or :output may")
    side: Side = "input" if end == "input" else "output"
    names = [own for own, _ in model.named_modules()]
    found = [name] if name in names else [own for own in names if _matches(own, name)]
    if not found:
        raise ValueError(f"{argument}={pattern!r} is no layer of {_hint(model, name, names)}")
    return [Spot(own, side) for own in found]


def classifier_name(model: nn.Module) -> str:
    """The layer that gives the logits: what timm names so, or the last linear one.

    Example:
        >>> classifier_name(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2), nn.Softmax(1)))
        '1'
    """
    own = getattr(model, "pretrained_cfg", None)
    name = own.get("classifier") if isinstance(own, Mapping) else None
    if isinstance(name, str) and isinstance(_part(model, name), nn.Linear):
        return name
    linear: list[str] = [
        name for name, part in model.named_modules() if isinstance(part, nn.Linear)
    ]
    if not linear:
        raise ValueError(
            f"{type(model).__name__} has no linear layer that may be its classifier: name the "
            "layer of the features, such as Layers(features='avgpool')"
        )
    return linear[-1]


def _matches(name: str, pattern: str) -> bool:
    """Whether they are alike part by part, so that ``*`` does not reach into a layer."""
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _part(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _hint(model: nn.Module, name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    # A wrong prefix is the most frequent mistake: the same end elsewhere.
    ends = [own for own in names if own.endswith(f".{name.rpartition('.')[2]}")][:3]
    children = [child for child, _ in model.named_children()][:8]
    hint = f"{type(model).__name__}, which has: {', '.join(children)}"
    meant = list(dict.fromkeys([*near, *ends]))[:3]
    if meant:
        hint += f". Do you mean {' or '.join(map(repr, meant))}?"
    return f"{hint} (named_modules() lists all)"
