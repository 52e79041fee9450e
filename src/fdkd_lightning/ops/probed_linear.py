"""A linear layer whose sizes may be probed from the models."""

from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.tensor_checks import check_tensor


class ProbedLinear(nn.Module):
    r"""Linear map over the channel axis (dim 1): :math:`y = W x + b`.

    Unlike ``torch.nn.LazyLinear`` it may leave out both sizes, and :meth:`build` creates the
    weights before an optimizer or DDP collects the parameters.

    Args:
        in_features: Channels of the input; None leaves them to :meth:`build`.
        out_features: Channels of the output; None leaves them to :meth:`build`.

    Shape:
        - x: [N, in_features, ...]
        - output: [N, out_features, ...]

    Raises:
        TypeError: If a size is no whole number, or x no tensor.
        ValueError: If a size is below 1, it is built with sizes other than those it has, or x is
            not floating-point or has another number of channels.
        RuntimeError: If it is called before it has both sizes.

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
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size is not None:
                check_count(name, size, example=512)
        self.in_features = in_features
        self.out_features = out_features
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        if in_features is not None and out_features is not None:
            self.build(in_features, out_features)

    def build(self, in_features: int, out_features: int) -> None:
        """Create the weights, or check that existing ones have these sizes.

        Args:
            in_features: Channels of the input.
            out_features: Channels of the output.

        Raises:
            ValueError: If a size was given that differs.
        """
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            check_count(name, size, example=512)
            given = getattr(self, name)
            if given is not None and given != size:
                raise ValueError(
                    f"{name}={given} does not fit the models, which need {size}: "
                    f"set {name}={size}, or leave it out to have it probed"
                )
        self.in_features, self.out_features = in_features, out_features
        if self.weight is None:
            layer = nn.Linear(in_features, out_features)
            self.weight, self.bias = nn.Parameter(layer.weight), nn.Parameter(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map the channels of ``x``."""
        if self.weight is None:
            raise RuntimeError(
                "ProbedLinear has no size yet: give in_features and out_features, "
                "or call build() before the first forward"
            )
        check_tensor("features", x, "[N, in_features, ...]", *range(2, 6))
        if x.shape[1] != self.in_features:
            raise ValueError(
                f"features of size {x.shape[1]} (shape {list(x.shape)}) do not fit "
                f"in_features={self.in_features}"
            )
        x = x.to(self.weight.dtype)  # bands are always float32; weights have the trainer's
        if x.ndim == 2:  # each view would cost a node of the graph
            return nn.functional.linear(x, self.weight, self.bias)
        return nn.functional.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)

    def extra_repr(self) -> str:
        """Return the arguments for ``print(model)``."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
