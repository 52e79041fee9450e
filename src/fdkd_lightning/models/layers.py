"""Reading an Output off the layers of a network that knows nothing of it."""

import difflib
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fdkd_lightning.models.tokens import Pooling, as_map, pool_tokens
from fdkd_lightning.types import Output

Side = Literal["input", "output"]

# What the networks of transformers (ModelOutput) and torchvision (dicts) call their result.
HIDDEN = ("last_hidden_state", "hidden_states", "feature_maps", "pooler_output")
SCORES = ("logits", "out", "prediction_logits")


class Layers:
    """Which layers of a network give its features, logits and maps, and how they are arranged.

    A layer is named as ``model.named_modules()`` names it (``print(model)`` shows them), and read
    after it, or with ``:input`` before it: ``layer4.1``, ``fc:input``. ``*`` stands for anything
    between two dots, if one layer alone is meant. What a layer gives may be a tensor, a tuple or
    list that begins with one, or the output of a network of transformers.

    Args:
        features: The layer whose tensor is the features; None: the input of the network's
            classifier, which is what timm names so, or else the last linear layer.
        logits: The layer whose tensor is the logits; None: what the network returns, or, for a
            module of Lightning's, which returns a loss, the output of the classifier whose input
            are the features.
        maps: Layers whose tensors are the stages' maps; ``*`` may stand for several.
        pooling: One vector of a sequence or map: ``"mean"``, and of tokens ``"cls"``, the first,
            or ``"last"``; None keeps tokens and maps as features.
        channel_dim: Where D is; None: last of tokens [N, L, D], and dim 1 of all else. 1 for
            sequences [N, D, L] (1-d convolutions), -1 for maps [N, H, W, D] (Swin).
        prefix_tokens: How many class and register tokens come before those of the places; the
            mean, kept tokens and maps are without them (ViT: 1, DeiT distilled: 2).
        grid: H and W of the places that kept tokens and maps are in, row by row; None: 1 and L.

    Raises:
        ValueError: If an option is unknown; with a network, if it has no such layer, or several.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> reader = Layers(features="2").of(model)
        >>> with reader.reading():
        ...     logits = model(torch.randn(2, 3, 4))
        >>> reader.take(logits).features.shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        features: str | None = None,
        logits: str | None = None,
        maps: Sequence[str] = (),
        pooling: Pooling | None = None,
        channel_dim: int | None = None,
        prefix_tokens: int = 0,
        grid: tuple[int, int] | None = None,
    ) -> None:
        if pooling is not None and pooling not in get_args(Pooling):
            raise ValueError(
                f"pooling={pooling!r} must be one of {', '.join(get_args(Pooling))}, or None"
            )
        if prefix_tokens < 0:
            raise ValueError(f"prefix_tokens={prefix_tokens} must be 0 or more")
        if isinstance(maps, str):
            raise ValueError(f"maps={maps!r} must be a list of layers: [{maps!r}]")
        self.features = features
        self.logits = logits
        self.maps = tuple(maps)
        self.pooling = pooling
        self.channel_dim = channel_dim
        self.prefix_tokens = prefix_tokens
        self.grid = None if grid is None else (grid[0], grid[1])

    def of(self, model: nn.Module, returns_logits: bool = True) -> "LayerReader":
        """Read them from this network.

        Args:
            model: The network.
            returns_logits: Whether its forward does; a module of Lightning's training step does
                not.
        """
        features = self.features or f"{classifier_name(model)}:input"
        spot = find_layer(model, features, "features")
        logits = None
        if self.logits is not None:
            logits = find_layer(model, self.logits, "logits")
        elif not returns_logits:
            if spot.side != "input":
                raise ValueError(
                    f"logits is not given, and features={features!r} is no classifier's input: "
                    "name the layer whose output are the logits, such as logits='model.fc'"
                )
            logits = spot._replace(side="output")
        maps = [spot for pattern in self.maps for spot in find_layers(model, pattern, "maps")]
        return LayerReader(model, self, spot, logits, maps)

    def feature_of(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A layer's tensor as features: a vector, or with ``pooling=None`` as it is arranged."""
        if x.ndim == 2:
            return x
        if self.pooling is None:
            places = self.map_of(x, mask)
            # A map of one place is what is left of an average, as of avgpool.
            return places.flatten(1) if places.shape[2:] == (1, 1) else places
        x = self._channels_last(x)
        if x.ndim == 3:
            prefix = self.prefix_tokens if self.pooling == "mean" else 0
            return pool_tokens(x[:, prefix:], _fitting(mask, x, prefix), self.pooling)
        if self.pooling != "mean":
            raise ValueError(
                f"pooling={self.pooling!r} is of tokens [N, L, D], but the layer gives "
                f"{list(x.shape)} (channels last): set pooling='mean'"
            )
        return x.flatten(1, -2).mean(1)

    def map_of(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A layer's tensor as a map [N, D, H, W], tokens as [N, D, 1, L] or on their grid."""
        if x.ndim not in (3, 4):
            raise ValueError(
                f"a layer gives {list(x.shape)}, which is no map [N, D, H, W] and no tokens "
                "[N, L, D]: name another layer"
                + (", or set pooling='mean'" if x.ndim > 4 and self.pooling is None else "")
            )
        x = self._channels_last(x)
        if x.ndim == 4:
            return x.movedim(-1, 1)
        tokens = x[:, self.prefix_tokens :]
        row = as_map(tokens, _fitting(mask, x, self.prefix_tokens))
        if self.grid is None:
            return row
        if tokens.shape[1] != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"grid={list(self.grid)} has {self.grid[0] * self.grid[1]} places, but after "
                f"prefix_tokens={self.prefix_tokens} there are {tokens.shape[1]} tokens: set "
                "both to what the network has"
            )
        return row.reshape(*row.shape[:2], *self.grid)

    def _channels_last(self, x: Tensor) -> Tensor:
        dim = self.channel_dim
        if dim is None:
            dim = -1 if x.ndim == 3 else 1
        return x.movedim(dim, -1)


class Spot(NamedTuple):
    """A place in a network: a layer, and before or after it."""

    name: str
    side: Side


class LayerReader:
    """The layers of one network, read while it runs.

    Tensors are copied where they are read, so that a layer which works in place cannot change
    them. A layer that runs several times is read the last time. The hooks are part of the network:
    they are copied and pickled along with it, and are traced by ``torch.compile``.

    Args:
        model: The network.
        layers: How its tensors are arranged.
        features: Where they are read.
        logits: Likewise; None: what the network returns.
        maps: Likewise.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Layers,
        features: Spot,
        logits: Spot | None,
        maps: Sequence[Spot],
    ) -> None:
        self.layers = layers
        self.features = _Tap(features)
        self.logits = None if logits is None else _Tap(logits)
        self.maps = [_Tap(spot) for spot in maps]
        self.handles = [tap.attach(model) for tap in self._taps()]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read what runs inside; forget what was read before."""
        for tap in self._taps():
            tap.value, tap.on = None, True
        try:
            yield
        finally:
            for tap in self._taps():
                tap.on = False

    def has_gradient(self) -> bool:
        """Whether features were read from which a gradient reaches the network."""
        value = self.features.value
        return value is not None and first_tensor(value, HIDDEN).requires_grad

    def take(self, returned: Any = None, mask: Tensor | None = None) -> Output:
        """What was read, which is then forgotten.

        Args:
            returned: What the network returned, for logits that are no layer's.
            mask: Which tokens are not padding; None: all.

        Shape:
            - mask: [N, L]

        Raises:
            RuntimeError: If a layer did not run.
        """
        features = self.layers.feature_of(self.features.pop(HIDDEN), mask)
        logits = first_tensor(returned, SCORES) if self.logits is None else self.logits.pop(SCORES)
        maps = tuple(self.layers.map_of(tap.pop(HIDDEN), mask) for tap in self.maps)
        return Output(features, logits, maps)

    def forget(self) -> None:
        """Drop what was read."""
        for tap in self._taps():
            tap.value = None

    def remove(self) -> None:
        """Take the hooks off the network."""
        for handle in self.handles:
            handle.remove()

    def _taps(self) -> list["_Tap"]:
        return [self.features, *([] if self.logits is None else [self.logits]), *self.maps]


class _Tap:
    """What one layer got or gave, as long as somebody listens."""

    def __init__(self, spot: Spot) -> None:
        self.spot = spot
        self.on = False
        self.value: Any = None

    def attach(self, model: nn.Module) -> RemovableHandle:
        layer = model.get_submodule(self.spot.name)
        if self.spot.side == "input":
            return layer.register_forward_pre_hook(self.before, with_kwargs=True)
        return layer.register_forward_hook(self.after)

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.on:
            self.value = _copied([*args, *kwargs.values()])

    def after(self, layer: nn.Module, args: Any, output: Any) -> None:
        if self.on:
            self.value = _copied(output)

    def pop(self, names: Sequence[str]) -> Tensor:
        if self.value is None:
            name = self.spot.name or "(the network itself)"
            raise RuntimeError(
                f"layer {name!r} did not run: name one that the forward pass calls as a module "
                "(a compiled network must be given its layers before its first call)"
            )
        value, self.value = self.value, None
        return first_tensor(value, names)


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


def first_tensor(value: Any, names: Sequence[str]) -> Tensor:
    """The tensor that a layer or network gives: itself, by one of these names, or the first inside.

    Raises:
        TypeError: If there is none.

    Example:
        >>> import torch
        >>> first_tensor({"loss": torch.tensor(1.0), "logits": torch.tensor(2.0)}, ["logits"])
        tensor(2.)
        >>> first_tensor((None, [torch.tensor(3.0)]), [])
        tensor(3.)
    """
    found = _search(value, names)
    if found is None:
        raise TypeError(
            f"a network or layer gave {type(value).__name__}, which holds no tensor: name the "
            "layer that gives it, such as Layers(features='encoder.norm', logits='head')"
        )
    return found


def _search(value: Any, names: Sequence[str]) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    parts: list[Any] = []
    if isinstance(value, Mapping):
        parts = [value[name] for name in names if name in value] + list(value.values())
    elif isinstance(value, tuple | list):
        named = [getattr(value, name, None) for name in names] if hasattr(value, "_fields") else []
        parts = [*named, *value]
    return next((x for part in parts if (x := _search(part, names)) is not None), None)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, Mapping):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_copied(part) for part in value]
    return None


def _fitting(mask: Tensor | None, tokens: Tensor, prefix: int) -> Tensor | None:
    """The mask without the prefix."""
    if mask is None:
        return None
    if mask.shape[1] != tokens.shape[1]:
        raise ValueError(
            f"the attention_mask is of {mask.shape[1]} tokens, but a layer gives "
            f"{tokens.shape[1]}, of which padding cannot be told: name a layer that keeps them all"
        )
    return mask[:, prefix:].bool()


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
