"""Standardisation of features or bands before they are compared."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from fdkd_lightning.ops.normalize import standardize


class Standardizer(nn.Module, ABC):
    """Base class of the standardisations that :class:`FDKDLoss` applies before its distances.

    Example:
        >>> import torch
        >>> class MaxNorm(Standardizer):
        ...     def forward(self, x, dim=1, source=None):
        ...         return x / x.abs().amax(dim, keepdim=True)
        >>> MaxNorm()(torch.tensor([[1.0, -4.0]]))
        tensor([[ 0.2500, -1.0000]])
    """

    @abstractmethod
    def forward(self, x: Tensor, dim: int = 1, source: Tensor | None = None) -> Tensor:
        """Standardise vectors along an axis.

        Args:
            x: Features, or a band of features.
            dim: The channel axis, of size D.
            source: The features of which ``x`` is a band. Their size separates a signal from
                rounding residue. None: ``x`` itself.

        Shape:
            - x, source, output: any, the same
        """


class UnitLength(Standardizer):
    r"""Centre and scale to length 1: :func:`~fdkd_lightning.standardize` as a module (Eq. 7).

    Elements are near :math:`1/\sqrt{D}`, where :class:`LogMSELoss` differs from MSE by a few per
    cent. The mean squared difference of two such vectors is at most 4/D.

    Shape:
        - x, output: [N, D, ...], D at ``dim``

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 7.

    Example:
        >>> import torch
        >>> UnitLength()(torch.tensor([[1.0, 3.0]]))
        tensor([[-0.7071,  0.7071]])
    """

    def forward(self, x: Tensor, dim: int = 1, source: Tensor | None = None) -> Tensor:
        """Centre and scale to length 1 along ``dim``."""
        return standardize(x, dim, source)


class UnitVariance(Standardizer):
    r"""Centre and scale to variance 1, :math:`\sqrt{D}` times as long as :class:`UnitLength`.

    Elements are near 1, where the logarithm of :class:`LogMSELoss` weakens the high bands
    noticeably. The paper and its code use :class:`UnitLength`.

    Shape:
        - x, output: [N, D, ...], D at ``dim``

    Example:
        >>> import torch
        >>> UnitVariance()(torch.tensor([[1.0, 3.0]])).round(decimals=4)
        tensor([[-1.,  1.]])
    """

    def forward(self, x: Tensor, dim: int = 1, source: Tensor | None = None) -> Tensor:
        """Centre and scale to variance 1 along ``dim``."""
        unit = standardize(x, dim, source)
        length: float = x.shape[dim] ** 0.5
        return length * unit


class Unstandardized(Standardizer):
    """Leave features or bands unchanged.

    Shape:
        - x, output: any, the same

    Example:
        >>> import torch
        >>> Unstandardized()(torch.tensor([[1.0, 3.0]]))
        tensor([[1., 3.]])
    """

    def forward(self, x: Tensor, dim: int = 1, source: Tensor | None = None) -> Tensor:
        """Return ``x``."""
        return x
