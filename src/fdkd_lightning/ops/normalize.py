"""Normalisation of vectors to length 1, without amplifying rounding residue."""

import torch
from torch import Tensor

from fdkd_lightning.ops.precision import at_least_float32

# A vector is rounding residue, not a signal, if its norm is below this many rounding steps of the
# norm of its source: the transform of constant features leaves 5 (in float32, 6e-7 of their size).
NEGLIGIBLE = 100


def l2_normalize(x: Tensor, dim: int = 1) -> Tensor:
    r"""Scale to unit length along ``dim``, in float32: :math:`x / \lVert x \rVert_2`.

    A zero vector has no direction: it stays zero, with zero gradient. With the usual epsilon in the
    denominator its gradient would be 1/epsilon.

    Args:
        x: Vectors.
        dim: Axis of the vectors.

    Shape:
        - x, output: any, the same

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    x = at_least_float32(x)
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return _divide(x, norm, norm > 0)


def standardize(x: Tensor, dim: int = 1, source: Tensor | None = None) -> Tensor:
    r"""Centre and scale to unit length along ``dim``, in float32.

    .. math:: \mathrm{Std}(x) = \frac{x - \bar{x}}{\lVert x - \bar{x} \rVert_2}

    Where only rounding residue is left (constant or zero features), the result is zero, with zero
    gradient, instead of amplified noise.

    Args:
        x: Features, or a band of features.
        dim: The channel axis.
        source: The features of which x is a band. Their norm separates signal from residue. None:
            x itself.

    Shape:
        - x, source, output: any, the same

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 7.

    Example:
        >>> standardize(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
        tensor([[-0.7071,  0.7071],
                [ 0.0000,  0.0000]])
    """
    x = at_least_float32(x)
    centred = x - x.mean(dim, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    size = torch.linalg.vector_norm(
        (x if source is None else source).detach().to(x.dtype), dim=dim, keepdim=True
    )
    return _divide(centred, norm, norm > NEGLIGIBLE * torch.finfo(x.dtype).eps * size)


def _divide(x: Tensor, norm: Tensor, signal: Tensor) -> Tensor:
    # Both branches of a where are differentiated: the division must be safe in the unused one.
    return torch.where(signal, x / torch.where(signal, norm, 1.0), 0.0)
