"""Inputs and outputs of a network's layers, captured by hooks during a forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fdkd_lightning.models.layer_names import LayerSide, classifier_name, find_layer, find_layers
from fdkd_lightning.models.layer_outputs import Kind, describe, find_logits, find_tensor
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.ops.gradient_graph import reaches
from fdkd_lightning.types import Output


class LayerReader:
    """Capture features, logits and maps from the layers of a network while it runs.

    Tensors are copied, so that a layer which works in place cannot change them. Of a layer that
    runs several times, the last tensor with a gradient is kept, or the last one if none has a
    gradient. The hooks belong to the network: they are copied and pickled with it, and
    ``torch.compile`` traces them.

    Under ``torch.utils.checkpoint`` with ``use_reentrant=True`` no gradient is recorded, and the
    captured tensors have none: pass ``use_reentrant=False``.

    Args:
        model: The network.
        layers: The layers to capture, and how their tensors are arranged.
        returns_logits: Whether the network's forward pass returns the logits. A LightningModule's
            training step returns a loss; its logits are then captured from a layer.

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
        if isinstance(layers.tokens, int) and not returns_logits:
            raise ValueError(
                f"tokens={layers.tokens} selects by the input_ids of a FeatureModel, and here only "
                "the layers are read: name a layer of these tokens alone, such as "
                "'model.multi_modal_projector', and set tokens='all'"
            )
        features = find_layer(model, name, "features")
        logits = None
        if isinstance(layers.logits, str):
            logits = find_layer(model, layers.logits, "logits")
        elif layers.logits is None and not returns_logits:
            if features.side != "input":
                raise ValueError(
                    f"logits is not given, and features={name!r} is no classifier's input: name "
                    "the layer whose output is the logits, such as logits='model.fc', or set "
                    "logits=False, if there are none"
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
        """Move the hooks to the layers that now have these names, if layers were replaced."""
        for tap in self._taps():
            tap.attach(model)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Capture tensors inside the context; discard earlier ones, and all after an error."""
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
        """Return whether a captured tensor has a gradient."""
        return any(value.requires_grad for value in self._values())

    def is_in(self, loss: Tensor) -> bool:
        """Return whether the loss was computed from a layer's tensor that was captured."""
        # The captured tensor is a copy: the layer's tensor is its parent in the graph.
        parents = (value.grad_fn.next_functions[0][0] for value in self._values() if value.grad_fn)
        return reaches(loss, {node for node in parents if node is not None})

    def take(self, returned: Any = None, mask: Tensor | None = None) -> Output:
        """Return the captured tensors as an ``Output``, and discard them.

        Args:
            returned: The network's return value, for logits that are not captured from a layer;
                None: logits [N, 0], as with ``logits=False``.
            mask: Which tokens are not padding; None: all.

        Shape:
            - mask: [N, L]

        Raises:
            RuntimeError: If a layer did not run.
            TypeError: If the network returned no logits.
            ValueError: If a layer's tensor is no vector, token sequence or map per sample.
        """
        try:
            features = self.features.arranged(self.layers.feature_of, mask)
            if self.logits is not None:
                logits = self.layers.logits_of(self.logits.read())
            elif returned is not None and self.layers.logits is not False:
                logits = self.layers.logits_of(find_logits(returned))
            else:
                logits = features.new_empty(len(features), 0)
            maps = tuple(tap.arranged(self.layers.map_of, mask) for tap in self.maps)
        finally:
            self.forget()
        if features.shape[:1] != logits.shape[:1]:
            raise ValueError(
                f"features are {list(features.shape)} and logits {list(logits.shape)}, which are "
                "not of the same samples: name layers whose batch dimension is dim 0 (tokens as "
                "[N, L, D], not [L, N, D])"
            )
        return Output(features, logits, maps)

    def forget(self) -> None:
        """Discard the captured tensors."""
        for tap in self._taps():
            tap.value = None

    def remove(self) -> None:
        """Remove the hooks from the network."""
        for tap in self._taps():
            tap.detach()

    def _values(self) -> list[Tensor]:
        return [tap.value for tap in self._taps() if tap.value is not None]

    def _taps(self) -> list["_Tap"]:
        return [self.features, *([] if self.logits is None else [self.logits]), *self.maps]


class _Tap:
    """Hook on one layer that keeps its input or output while ``on``."""

    def __init__(self, spot: LayerSide, kind: Kind) -> None:
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
        where = f"{self._name()} {'gets' if self.spot.side == 'input' else 'returns'}"
        if found is None:
            raise TypeError(
                f"{where} {describe(value)}, which holds no {self.kind}: name another layer, "
                "such as Layers(features='encoder')"
            )
        if found.is_nested:
            raise TypeError(
                f"{where} a nested tensor: make the network with "
                "nn.TransformerEncoder(..., enable_nested_tensor=False)"
            )
        # A later pass without gradients, such as a measurement, does not replace the student's.
        if self.value is None or found.requires_grad or not self.value.requires_grad:
            self.value = found.clone()

    def _name(self) -> str:
        return f"layer {self.spot.name!r}" if self.spot.name else "the network itself"
