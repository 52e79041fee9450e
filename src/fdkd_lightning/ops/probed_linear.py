"""A linear layer whose sizes may be left to a probe of the models."""

from torch import Tensor, nn


class ProbedLinear(nn.Module):
    """A linear map over the channel axis (dim 1), sized when it is built.

    Unlike ``torch.nn.LazyLinear`` both sizes may be left out, and :meth:`build` sets them before
    an optimizer or DDP looks for parameters.

    Args:
        in_features: D of the input; None: probed.
        out_features: Size of the output; None: probed.

    Shape:
        - x: [N, in_features, ...]
        - output: [N, out_features, ...]

    Raises:
        ValueError: If it is built with sizes other than those it has.
        RuntimeError: If it is called without a size.

    Example:
        >>> import torch
        >>> layer = ProbedLinear()
        >>> layer.build(64, 10)
        >>> layer(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 10, 7, 7])
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, in_features: int | None = None, out_features: int | None = None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        if in_features is not None and out_features is not None:
            self.build(in_features, out_features)

    def build(self, in_features: int, out_features: int) -> None:
        """Create the weights, or check that those there are of these sizes."""
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            own = getattr(self, name)
            if own is not None and own != size:
                raise ValueError(
                    f"{name}={own} does not fit the models, which need {size}: "
                    f"set {name}={size}, or leave it out to have it probed"
                )
        self.in_features, self.out_features = in_features, out_features
        if self.weight is None:
            layer = nn.Linear(in_features, out_features)
            self.weight, self.bias = nn.Parameter(layer.weight), nn.Parameter(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the map to dim 1 of ``x``."""
        if self.weight is None:
            raise RuntimeError(
                "ProbedLinear has no size yet: give in_features and out_features, "
                "or call build() before the first forward"
            )
        if x.shape[1] != self.in_features:
            raise ValueError(
                f"features of size {x.shape[1]} (shape {list(x.shape)}) do not fit "
                f"in_features={self.in_features}"
            )
        # Bands are float32 whatever the precision; the weights follow the trainer's.
        channels_last = x.movedim(1, -1).to(self.weight.dtype)
        return nn.functional.linear(channels_last, self.weight, self.bias).movedim(-1, 1)

    def extra_repr(self) -> str:
        """The arguments, for ``print(model)``."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
