"""What layers of a network are features, logits and maps, and how their tensors are arranged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from torch import Tensor

from fdkd_lightning.models.tokens import Pooling, as_map, pool_tokens


@dataclass(frozen=True)
class Layers:
    """Which layers of a network give its features, logits and maps, and in which form.

    A layer is named as ``model.named_modules()`` names it (``print(model)`` shows them), and read
    after it, or with ``:input`` before it: ``layer4.1``, ``fc:input``; ``""`` is the network
    itself. ``*`` stands for anything between two dots, if one layer alone is meant. What a layer
    gives may be a tensor, a tuple or list that begins with one, or the output of a network of
    transformers, of which the last hidden state is read.

    Args:
        features: The layer whose tensor is the features; None: the input of the network's
            classifier, which is what timm names so, or else the last linear layer.
        logits: The layer whose tensor is the logits; None: what the network returns, or, for a
            module of Lightning's, which returns a loss, the output of the classifier whose input
            are the features. Those of tokens become [N, K, 1, L].
        maps: Layers whose tensors are the stages' maps; ``*`` may stand for several.
        pooling: One vector of a sequence or map: ``"mean"``, and of tokens ``"cls"``, the first,
            or ``"last"``; None keeps tokens and maps as features.
        channel_dim: Where D (or K) is; None: last of tokens [N, L, D], and dim 1 of all else. 1
            for sequences [N, D, L] (1-d convolutions), -1 for maps [N, H, W, D] (Swin).
        prefix_tokens: How many class and register tokens come before those of the positions; the
            mean, kept tokens and maps are without them (ViT: 1, DeiT distilled: 2).
        grid: H and W of the positions that kept tokens and maps are in, row by row; None: 1 and L.

    Raises:
        ValueError: If an option is unknown; with a network, if it has no such layer, or several.

    Example:
        >>> import torch
        >>> tokens = torch.zeros(2, 17, 8)
        >>> Layers("norm", prefix_tokens=1, grid=(4, 4)).map_of(tokens, None).shape
        torch.Size([2, 8, 4, 4])
        >>> Layers("norm", pooling="cls").feature_of(tokens, None).shape
        torch.Size([2, 8])
    """

    features: str | None = None
    logits: str | None = None
    maps: Sequence[str] = ()
    pooling: Pooling | None = None
    channel_dim: int | None = None
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for argument, name in (("features", self.features), ("logits", self.logits)):
            if not isinstance(name, str | None):
                raise TypeError(f"{argument}={name!r} must be a layer's name: '{name}'")
        if self.pooling is not None and self.pooling not in get_args(Pooling):
            raise ValueError(
                f"pooling={self.pooling!r} must be one of {', '.join(get_args(Pooling))}, or None"
            )
        if self.channel_dim not in (None, 1, -1):
            raise ValueError(
                f"channel_dim={self.channel_dim} must be 1 (right after the samples), -1 (last) or "
                "None"
            )
        if self.prefix_tokens < 0:
            raise ValueError(f"prefix_tokens={self.prefix_tokens} must be 0 or more")
        if isinstance(self.maps, str):
            raise ValueError(f"maps={self.maps!r} must be a list of layers: [{self.maps!r}]")

    def feature_of(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A layer's tensor as features: a vector, or with ``pooling=None`` as it is arranged."""
        if x.ndim == 2:
            return x
        if self.pooling is None or x.ndim < 2:
            positions = self.map_of(x, mask)
            # A map of one place is what is left of an average, as of avgpool; a text of one token
            # is as other texts are.
            one = positions.shape[2:] == (1, 1) and (x.ndim == 4 or self.channel_dim == 1)
            return positions.flatten(1) if one else positions
        x = self._channels_last(x)
        if x.ndim == 3:
            prefix = self.prefix_tokens if self.pooling == "mean" else 0
            mask = self._fitting(mask, x, prefix)
            return pool_tokens(x[:, prefix:], mask, self.pooling)
        if self.pooling != "mean":
            raise ValueError(
                f"pooling={self.pooling!r} is of tokens [N, L, D], but the layer gives "
                f"{list(x.shape)} (channels last): set pooling='mean'"
            )
        return x.flatten(1, -2).mean(1)

    def logits_of(self, x: Tensor) -> Tensor:
        """A network's tensor as logits, those of tokens as [N, K, 1, L]."""
        return self._channels_last(x).movedim(-1, 1).unsqueeze(2) if x.ndim == 3 else x

    def map_of(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A layer's tensor as a map [N, D, H, W], tokens as [N, D, 1, L] or on their grid."""
        if x.ndim not in (3, 4):
            raise ValueError(
                f"a layer gives {list(x.shape)}, which is no map [N, D, H, W] and no tokens "
                "[N, L, D]: name another layer"
                + (", or, for features, set pooling='mean'" if x.ndim > 4 else "")
            )
        x = self._channels_last(x)
        if x.ndim == 4:
            return x.movedim(-1, 1)
        tokens = x[:, self.prefix_tokens :]
        row = as_map(tokens, self._fitting(mask, x, self.prefix_tokens))
        if self.grid is None:
            return row
        if tokens.shape[1] != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"grid={list(self.grid)} has {self.grid[0] * self.grid[1]} positions, but after "
                f"prefix_tokens={self.prefix_tokens} there are {tokens.shape[1]} tokens: set "
                "both to what the network has"
            )
        return row.reshape(*row.shape[:2], *self.grid)

    def _channels_last(self, x: Tensor) -> Tensor:
        dim = self.channel_dim
        if dim is None:
            dim = -1 if x.ndim == 3 else 1
        return x.movedim(dim, -1)

    def _fitting(self, mask: Tensor | None, tokens: Tensor, prefix: int) -> Tensor | None:
        """The mask without the prefix."""
        if mask is None:
            return None
        if mask.shape[1] != tokens.shape[1]:
            raise ValueError(
                f"the attention_mask is of {mask.shape[1]} tokens, but a layer gives "
                f"{list(tokens.shape)}, [N, L, D] with channel_dim={self.channel_dim}: name a "
                "layer that keeps all tokens, or set channel_dim=1 for [N, D, L]"
            )
        return mask[:, prefix:].bool()
