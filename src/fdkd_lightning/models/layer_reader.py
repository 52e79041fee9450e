"""Reading tensors off the layers of a network while it runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fdkd_lightning.models.layer_names import Spot, classifier_name, find_layer, find_layers
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.types import Output

Kind = Literal["hidden state", "logits"]

# What the networks of transformers (ModelOutput) and torchvision (dicts) call their result. One is
# never taken for the other, but for "out", which is a backbone's map too.
NAMES: dict[Kind, tuple[str, ...]] = {
    "hidden state": ("last_hidden_state", "hidden_states", "feature_maps", "pooler_output"),
    "logits": ("logits", "prediction_logits", "out"),
}
UNLIKE: dict[Kind, tuple[str, ...]] = {
    "hidden state": ("logits", "prediction_logits"),
    "logits": NAMES["hidden state"],
}


class LayerReader:
    """The layers of one network, read while it runs.

    Tensors are copied where they are read, so that a layer which works in place cannot change
    them. A layer that runs several times is read the last time that it has a gradient, if it ever
    has. The hooks are part of the network:
    they are copied and pickled along with it, and are traced by ``torch.compile``.

    Inside of what ``torch.utils.checkpoint`` runs with ``use_reentrant=True`` no gradient is
    recorded, and what is read there has none: pass ``use_reentrant=False``.

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
        name = layers.features
        if name is None:
            name = f"{classifier_name(model)}:input"
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
        self.features = _Tap(features, "hidden state")
        self.logits = None if logits is None else _Tap(logits, "logits")
        self.maps = [
            _Tap(spot, "hidden state")
            for pattern in layers.maps
            for spot in find_layers(model, pattern, "maps")
        ]
        self.follow(model)

    def follow(self, model: nn.Module) -> None:
        """Read these layers of the network, also where others have taken their positions."""
        for tap in self._taps():
            tap.attach(model)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read what runs inside; forget what was read before, and all of it after an error."""
        self.forget()
        for tap in self._taps():
            tap.on = True
        try:
            yield
        except BaseException:
            self.forget()
            raise
        finally:
            for tap in self._taps():
                tap.on = False

    def has_gradient(self) -> bool:
        """Whether something was read from which a gradient reaches the network."""
        return any(value.requires_grad for value in self._values())

    def is_in(self, loss: Tensor) -> bool:
        """Whether the loss was computed from something that was read."""
        # What was read is a copy: the layer's own tensor is where that came from.
        wanted = {value.grad_fn.next_functions[0][0] for value in self._values() if value.grad_fn}
        seen, nodes = set(), [loss.grad_fn]
        while nodes:
            node = nodes.pop()
            if node in wanted:
                return True
            if node is not None and node not in seen:
                seen.add(node)
                nodes += [parent for parent, _ in node.next_functions]
        return False

    def take(self, returned: Any = None, mask: Tensor | None = None) -> Output:
        """What was read, which is then forgotten.

        Args:
            returned: What the network returned, for logits that are no layer's; None: there are
                none, [N, 0].
            mask: Which tokens are not padding; None: all.

        Shape:
            - mask: [N, L]

        Raises:
            RuntimeError: If a layer did not run.
            TypeError: If the network returned no logits.
            ValueError: If a layer's tensor is not of each sample's vector, tokens or map.
        """
        try:
            features = self.features.arranged(self.layers.feature_of, mask)
            if self.logits is not None:
                logits = self.layers.logits_of(self.logits.read())
            elif returned is not None:
                logits = self.layers.logits_of(_logits_in(returned))
            else:
                logits = features.new_empty(len(features), 0)
            maps = tuple(tap.arranged(self.layers.map_of, mask) for tap in self.maps)
        finally:
            self.forget()
        if features.shape[:1] != logits.shape[:1]:
            raise ValueError(
                f"features are {list(features.shape)} and logits {list(logits.shape)}, which are "
                "not of the same samples: name layers that give the samples along dim 0 (tokens "
                "as [N, L, D], not [L, N, D])"
            )
        return Output(features, logits, maps)

    def forget(self) -> None:
        """Drop what was read."""
        for tap in self._taps():
            tap.value = None

    def remove(self) -> None:
        """Take the hooks off the network."""
        for tap in self._taps():
            tap.detach()

    def _values(self) -> list[Tensor]:
        return [tap.value for tap in self._taps() if tap.value is not None]

    def _taps(self) -> list["_Tap"]:
        return [self.features, *([] if self.logits is None else [self.logits]), *self.maps]


class _Tap:
    """What one layer got or gave, as long as somebody listens."""

    def __init__(self, spot: Spot, kind: Kind) -> None:
        self.spot = spot
        self.kind = kind
        self.on = False
        self.value: Tensor | None = None
        self.layer: nn.Module | None = None
        self.handle: RemovableHandle | None = None

    def attach(self, model: nn.Module) -> None:
        layer = model.get_submodule(self.spot.name)
        if layer is self.layer:
            return
        self.detach()
        self.layer = layer
        if self.spot.side == "input":
            self.handle = layer.register_forward_pre_hook(self.before, with_kwargs=True)
        else:
            self.handle = layer.register_forward_hook(self.after)

    def detach(self) -> None:
        if self.handle is not None:
            self.handle.remove()
        self.layer = self.handle = None

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.on:
            self._keep([*args, kwargs] if kwargs else args)

    def after(self, layer: nn.Module, args: Any, output: Any) -> None:
        if self.on:
            self._keep(output)

    def read(self) -> Tensor:
        if self.value is None:
            raise RuntimeError(
                f"{self._name()} did not run: name one that the forward pass calls as a module "
                "(a compiled network must be given its layers before its first call)"
            )
        return self.value

    def arranged(
        self, arrange: Callable[[Tensor, Tensor | None], Tensor], mask: Tensor | None
    ) -> Tensor:
        value = self.read()
        try:
            return arrange(value, mask)
        except ValueError as error:
            raise ValueError(f"{self._name()}: {error}") from error

    def _keep(self, value: Any) -> None:
        found = find_tensor(value, self.kind)
        where = f"{self._name()} {'gets' if self.spot.side == 'input' else 'gives'}"
        if found is None:
            raise TypeError(
                f"{where} {_described(value)}, which holds no {self.kind}: name another layer, "
                "such as Layers(features='encoder')"
            )
        if found.is_nested:
            raise TypeError(
                f"{where} a nested tensor: make the network with "
                "nn.TransformerEncoder(..., enable_nested_tensor=False)"
            )
        # What runs without gradients after the student, to measure something, does not count.
        if self.value is None or found.requires_grad or not self.value.requires_grad:
            self.value = found.clone()

    def _name(self) -> str:
        return f"layer {self.spot.name!r}" if self.spot.name else "the network itself"


def find_tensor(value: Any, kind: Kind) -> Tensor | None:
    """The tensor that a layer or network gives: itself, by its usual name, or the first inside.

    Left out are single numbers, which are losses, and whole ones: of tokens or a mask. Of a tuple
    of hidden states it is the last layer's.

    Example:
        >>> import torch
        >>> output = {"loss": torch.tensor(1.0), "logits": torch.tensor([2.0])}
        >>> find_tensor(output, "logits")
        tensor([2.])
        >>> find_tensor(output, "hidden state") is None
        True
        >>> find_tensor((None, [torch.tensor([3.0])]), "hidden state")
        tensor([3.])
    """
    if isinstance(value, Tensor):
        return value if value.ndim and value.is_floating_point() else None
    parts: list[Any] = []
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        for name in NAMES[kind]:
            part = value.get(name)
            parts.append(part[-1] if isinstance(part, tuple | list) and part else part)
        parts += [part for name, part in value.items() if name not in UNLIKE[kind]]
    elif isinstance(value, tuple | list):
        parts = [*value]
    return next((x for part in parts if (x := find_tensor(part, kind)) is not None), None)


def _logits_in(returned: Any) -> Tensor:
    found = find_tensor(returned, "logits")
    if found is None:
        raise TypeError(
            f"the network returned {_described(returned)}, which holds no logits: give "
            "FeatureModel a classifier, such as classifier=nn.Linear(768, 10), or name the layer "
            "that gives them, such as Layers(logits='head')"
        )
    return found


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of {', '.join(map(str, value)) or 'nothing'}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {', '.join(map(_described, value)) or 'nothing'}"
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
