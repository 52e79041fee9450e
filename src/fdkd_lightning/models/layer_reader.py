"""Reading tensors off the layers of a network while it runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fdkd_lightning.models.layer_names import Spot, classifier_name, find_layer, find_layers
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.types import Output

# What the networks of transformers (ModelOutput) and torchvision (dicts) call their result.
HIDDEN = ("last_hidden_state", "hidden_states", "feature_maps", "pooler_output")
SCORES = ("logits", "out", "prediction_logits")


class LayerReader:
    """The layers of one network, read while it runs.

    Tensors are copied where they are read, so that a layer which works in place cannot change
    them. A layer that runs several times is read the last time. The hooks are part of the network:
    they are copied and pickled along with it, and are traced by ``torch.compile``.

    Args:
        model: The network.
        layers: Which layers, and in which form.
        returns_logits: Whether its forward does; a module of Lightning's training step does not,
            whose logits are then a layer's.

    Raises:
        ValueError: If the network has no such layer, or several.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> reader = LayerReader(model, Layers(features="2"))
        >>> with reader.reading():
        ...     logits = model(torch.randn(2, 3, 4))
        >>> reader.take(logits).features.shape
        torch.Size([2, 8])
    """

    def __init__(self, model: nn.Module, layers: Layers, returns_logits: bool = True) -> None:
        name = layers.features or f"{classifier_name(model)}:input"
        features = find_layer(model, name, "features")
        logits = None
        if layers.logits is not None:
            logits = find_layer(model, layers.logits, "logits")
        elif not returns_logits:
            if features.side != "input":
                raise ValueError(
                    f"logits is not given, and features={name!r} is no classifier's input: name "
                    "the layer whose output are the logits, such as logits='model.fc'"
                )
            logits = features._replace(side="output")
        self.layers = layers
        self.features = _Tap(features)
        self.logits = None if logits is None else _Tap(logits)
        self.maps = [
            _Tap(spot) for pattern in layers.maps for spot in find_layers(model, pattern, "maps")
        ]
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
        """Whether something was read from which a gradient reaches the network."""
        values = [tap.value for tap in self._taps() if tap.value is not None]
        return any(first_tensor(value, (*HIDDEN, *SCORES)).requires_grad for value in values)

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
