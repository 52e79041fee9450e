"""A control without a split: the low band is the whole feature."""

from torch import Tensor

from fdkd_lightning.decoupler.base import Decoupler, check_features, split
from fdkd_lightning.types import Bands


class WholeDecoupler(Decoupler):
    r"""No split: the low band is the mean-free feature, the high band is zero.

    .. math:: x_\mathrm{low} = x - \bar x, \quad x_\mathrm{high} = 0

    The difference between a loss with a split and the same loss with this class is what the split
    contributes. The only argument is ``dim``, the axis along which the mean is taken.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x

    Example:
        >>> import torch
        >>> low, high = WholeDecoupler()(torch.tensor([[1.0, 3.0]]))
        >>> low.tolist(), high.tolist()
        ([[-1.0, 1.0]], [[0.0, 0.0]])
    """

    def forward(self, x: Tensor) -> Bands:
        """Return the mean-free features and zeros."""
        check_features(x, self.dim)
        return split(x, self.dim, False, lambda centred: centred)
