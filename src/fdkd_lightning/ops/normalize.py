"""Normalisation of vectors to length 1, without amplifying rounding residue."""

import torch
from torch import Tensor

from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_axis, check_tensor

# A vector is rounding residue, not a signal, if its norm is below this many rounding steps of the
# norm of its source: the transform of constant features leaves 5 (in float32, 6e-7 of their size).
NEGLIGIBLE = 100


def l2_normalize(x: Tensor, dim: int = 1) -> Tensor:
    r"""Scale to unit length along ``dim``, in float32: :math:`x / \lVert x \rVert_2`.

    A zero vector has no direction: it stays zero, with zero gradient. With the usual epsilon in the
    denominator its gradient would be 1/epsilon. A vector with a NaN or an infinite value, or too
    long for its dtype (1.8e19 in float32), becomes NaN.

    Args:
        x: Vectors.
        dim: Axis of the vectors.

    Shape:
        - x, output: any, the same

    Raises:
        TypeError: If x is no tensor.
        ValueError: If x is not floating-point, or has no axis ``dim``.

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    _check("x", x, dim)
    x = at_least_float32(x)
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return _divide(x, norm, norm <= 0)


def standardize(x: Tensor, dim: int = 1, source: Tensor | None = None) -> Tensor:
    r"""Centre and scale to unit length along ``dim``, in float32.

    .. math:: \mathrm{Std}(x) = \frac{x - \bar{x}}{\lVert x - \bar{x} \rVert_2}

    Where only rounding residue is left (constant or zero features), the result is zero, with zero
    gradient, instead of amplified noise. Where a value is NaN or infinite, the result is NaN.

    Args:
        x: Features, or a band of features.
        dim: The channel axis.
        source: The features of which x is a band. Their norm separates signal from residue. None:
            x itself.

    Shape:
        - x, source, output: any, the same

    Raises:
        TypeError: If x or source is no tensor.
        ValueError: If one of them is not floating-point or has no axis ``dim``, or if their shapes
            differ.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 7.

    Example:
        >>> standardize(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
        tensor([[-0.7071,  0.7071],
                [ 0.0000,  0.0000]])
    """
    _check("x", x, dim)
    if source is not None:
        _check("source", source, dim)
        if source.shape != x.shape:
            raise ValueError(
                f"source has shape {list(source.shape)}, x {list(x.shape)}: give the features of "
                "which x is a band"
            )
    x = at_least_float32(x)
    centred = x - x.mean(dim, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    size = torch.linalg.vector_norm(
        (x if source is None else source).detach().to(x.dtype), dim=dim, keepdim=True
    )
    return _divide(centred, norm, norm <= NEGLIGIBLE * torch.finfo(x.dtype).eps * size)


def _check(name: str, x: Tensor, dim: int) -> None:
    check_tensor(name, x, "of any shape")
    check_axis("dim", dim, x)


def _divide(x: Tensor, norm: Tensor, is_zero: Tensor) -> Tensor:
    # NaN fails every comparison, and is no zero. The finite values of a vector of infinite length
    # would become zeros.
    is_zero = is_zero & norm.isfinite()
    norm = norm.masked_fill(norm.isinf(), torch.nan)
    # Both branches of a where are differentiated: the division must be safe in the unused one.
    return torch.where(is_zero, 0.0, x / torch.where(is_zero, 1.0, norm))
