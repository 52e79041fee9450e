"""The layers that give features, logits and maps, and how their tensors are arranged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from fdkd_lightning.models.token_pooling import Pooling, as_map, pool_tokens
from fdkd_lightning.ops.checks import check_choice, check_count


@dataclass(frozen=True)
class Layers:
    """The layers of a network that give its features, logits and maps.

    A layer has its name in ``model.named_modules()`` (``print(model)`` shows them). Its output is
    used, or its input with ``:input``: ``layer4.1``, ``fc:input``; ``""`` is the network itself.
    ``*`` matches anything between two dots, and must match one layer. A layer may return a tensor,
    a tuple or list that begins with one, or an output of transformers, of which the last hidden
    state is used.

    Args:
        features: Layer of the features; None: the input of the network's classifier, which is the
            layer that timm names so, or else the last ``nn.Linear``.
        logits: Layer of the logits; None: the network's return value, or, for a LightningModule,
            the output of the classifier whose input is the features. Logits of tokens become
            [N, K, 1, L]. False: the network has no class scores per sample (a detector, an
            encoder); its logits are [N, 0].
        maps: Layers of the maps; here ``*`` may match several.
        pooling: Pool a sequence or map to one vector: ``"mean"``, or, for tokens, ``"cls"`` (the
            first) or ``"last"``; None keeps tokens and maps as features.
        channel_dim: Dimension of D (or K): 1 for sequences [N, D, L] (1-d convolutions), -1 for
            maps [N, H, W, D] (Swin); None: -1 for tokens [N, L, D], 1 for everything else.
        prefix_tokens: Number of class and register tokens before the tokens of positions; they are
            left out of the mean, of kept tokens and of maps (ViT: 1, DeiT distilled: 2).
        grid: H and W of the grid of kept tokens and maps, row by row; None: 1 and L.
        tokens: The tokens that count; others are zero in kept tokens and maps, and left out of the
            mean. ``"attended"``: those of the input's ``attention_mask``, if it has one; ``"all"``,
            for layers of other tokens than the mask's, such as the image encoder of a
            vision-language model; an id: those whose ``input_ids`` are this id, such as its
            ``image_token_id``.

    Raises:
        TypeError: If ``features`` or ``logits`` is no string (or, for ``logits``, False), or
            ``tokens`` is no whole number and no string.
        ValueError: If an option is unknown; with a network, if no layer or several layers match.

    Example:
        >>> import torch
        >>> tokens = torch.zeros(2, 17, 8)
        >>> Layers("norm", prefix_tokens=1, grid=(4, 4)).map_of(tokens, None).shape
        torch.Size([2, 8, 4, 4])
        >>> Layers("norm", pooling="cls").feature_of(tokens, None).shape
        torch.Size([2, 8])
    """

    features: str | None = None
    logits: Literal[False] | str | None = None
    maps: Sequence[str] = ()
    pooling: Pooling | None = None
    channel_dim: int | None = None
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None
    tokens: Literal["attended", "all"] | int = "attended"

    def __post_init__(self) -> None:
        for argument, name in (("features", self.features), ("logits", self.logits)):
            if not isinstance(name, str | None) and not (name is False and argument == "logits"):
                raise TypeError(f"{argument}={name!r} must be a layer's name: '{name}'")
        check_choice("pooling", self.pooling, (*get_args(Pooling), None))
        check_choice("channel_dim", self.channel_dim, (1, -1, None))
        check_count("prefix_tokens", self.prefix_tokens, 0)
        if isinstance(self.tokens, str):
            check_choice("tokens", self.tokens, ("attended", "all"))
        else:
            check_count("tokens", self.tokens, 0, example=32000)
        if isinstance(self.maps, str):
            raise ValueError(f"maps={self.maps!r} must be a list of layers: [{self.maps!r}]")
        if not isinstance(self.maps, Sequence) or not all(isinstance(x, str) for x in self.maps):
            raise TypeError(f"maps={self.maps!r} must be a list of layers' names, as ['layer4']")

    def feature_of(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Arrange a layer's tensor as features.

        Args:
            x: The layer's tensor.
            mask: Which tokens are not padding; None: all.

        Shape:
            - x: vectors [N, D], or tokens or maps as for :meth:`map_of`
            - mask: [N, L]
            - output: [N, D]; without ``pooling`` tokens and maps as :meth:`map_of` arranges them

        Raises:
            ValueError: If the tensor has another shape, or ``pooling`` does not suit it.
        """
        if x.ndim == 2:
            return x
        if self.pooling is None or x.ndim < 2:
            positions = self.map_of(x, mask)
            # A map of one position is a vector, as of avgpool; a text of one token stays tokens.
            one = positions.shape[2:] == (1, 1) and (x.ndim == 4 or self.channel_dim == 1)
            return positions.flatten(1) if one else positions
        x = self._channels_last(x)
        if x.ndim == 3:
            prefix = self.prefix_tokens if self.pooling == "mean" else 0
            mask = self._fitting(mask, x, prefix)
            return pool_tokens(x[:, prefix:], mask, self.pooling)
        if self.pooling != "mean":
            raise ValueError(
                f"pooling={self.pooling!r} needs tokens [N, L, D], but the layer gives "
                f"{list(x.shape)} (channels last): set pooling='mean'"
            )
        return x.flatten(1, -2).mean(1)

    def logits_of(self, x: Tensor) -> Tensor:
        """Arrange a tensor as logits.

        Args:
            x: A network's return value, or a layer's tensor.

        Shape:
            - x: [N, K], [N, K, H, W], or of tokens [N, L, K]
            - output: [N, K], [N, K, H, W], or of tokens [N, K, 1, L]
        """
        return self._channels_last(x).movedim(-1, 1).unsqueeze(2) if x.ndim == 3 else x

    def map_of(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Arrange a layer's tensor as a map.

        Args:
            x: The layer's tensor.
            mask: Which tokens are not padding; None: all.

        Shape:
            - x: maps [N, D, H, W] or tokens [N, L, D], or with D in dimension ``channel_dim``
            - mask: [N, L]
            - output: [N, D, H, W], or of tokens [N, D, 1, L] without a ``grid``

        Raises:
            ValueError: If the tensor has another shape, or the tokens do not fit the grid.
        """
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
                "both to those of the network"
            )
        return row.reshape(*row.shape[:2], *self.grid)

    def _channels_last(self, x: Tensor) -> Tensor:
        dim = self.channel_dim
        if dim is None:
            dim = -1 if x.ndim == 3 else 1
        return x.movedim(dim, -1)

    def _fitting(self, mask: Tensor | None, tokens: Tensor, prefix: int) -> Tensor | None:
        """Return the mask of the tokens after the prefix."""
        if mask is None:
            return None
        if mask.shape[1] != tokens.shape[1]:
            raise ValueError(
                f"the attention_mask is of {mask.shape[1]} tokens, but a layer gives "
                f"{list(tokens.shape)}, [N, L, D] with channel_dim={self.channel_dim}: name a "
                "layer that keeps all tokens, set channel_dim=1 for [N, D, L], or set tokens='all' "
                "for tokens that are not the mask's, and none of which is padding"
            )
        return mask[:, prefix:].bool()
