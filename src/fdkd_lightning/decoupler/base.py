"""The base class of all splits, and the arithmetic they share."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any

from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_count, check_flags, refuse_renamed_methods
from fdkd_lightning.ops.linear_split import LowPart
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_axis, check_tensor
from fdkd_lightning.types import Bands


class Decoupler(nn.Module, ABC):
    """Base class of all splits: a module that splits features into two bands along ``dim``.

    Losses depend on this interface only, so a subclass with another basis can replace
    :class:`FrequencyDecoupler`. Parameters of a split are trained with the student.

    Args:
        dim: The axis to split along.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x

    Raises:
        TypeError: If ``dim`` is no whole number, the input no tensor, or a subclass defines a
            method under its name of an earlier version.
        ValueError: If the input is not floating-point or has no axis ``dim``.

    Example:
        >>> import torch
        >>> class Signs(Decoupler):
        ...     def forward(self, x):
        ...         return Bands(x.clamp_max(0), x.clamp_min(0))
        >>> low, high = Signs()(torch.tensor([[1.0, -2.0]]))
        >>> low.tolist(), high.tolist()
        ([[0.0, -2.0]], [[1.0, 0.0]])
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_renamed_methods(cls, {"record": "logged_values"})

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        check_count("dim", dim, None, example=1)
        self.dim = dim

    @abstractmethod
    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""

    def terms(self) -> dict[str, Tensor]:
        """Return weighted terms of the split's parameters, which losses add; none by default."""
        return {}

    def logged_values(self) -> dict[str, Tensor]:
        """Return values to log beside the terms, without gradient; none by default."""
        return {}

    def extra_repr(self) -> str:
        """Return the arguments for ``print(model)``; modules are printed by themselves."""
        names = inspect.signature(type(self)).parameters
        values = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return ", ".join(f"{k}={v}" for k, v in values.items() if not isinstance(v, nn.Module))


class OrthogonalDecoupler(Decoupler):
    r"""Base class of splits by a fixed orthogonal projection, which losses can compute together.

    .. math::
        x_\mathrm{low} = P (x - \bar x) \; [+ \; \bar x], \quad
        x_\mathrm{high} = x - \bar x - P (x - \bar x), \quad P = P^\top = P^2

    A subclass defines P by :meth:`low_part`. One that overrides ``forward`` is split as it says.

    Args:
        dim: The axis to split along.
        keep_dc: Add the mean (in brackets above) to the low band.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x

    Raises:
        TypeError, ValueError: As :class:`Decoupler`.

    Example:
        >>> import torch
        >>> def mirror_mean(x):
        ...     return (x + x.flip(-1)) / 2
        >>> class Mirror(OrthogonalDecoupler):
        ...     def low_part(self, size):
        ...         return mirror_mean
        >>> low, high = Mirror()(torch.tensor([[1.0, 2.0, 6.0]]))
        >>> low.tolist(), high.tolist()
        ([[0.5, -1.0, 0.5]], [[-2.5, 0.0, 2.5]])
    """

    def __init__(self, dim: int = 1, keep_dc: bool = False) -> None:
        super().__init__(dim)
        check_flags(keep_dc=keep_dc)
        self.keep_dc = keep_dc

    @abstractmethod
    def low_part(self, size: int) -> LowPart:
        """Return P: a function of mean-free features, their axis last, that gives their low band.

        Functions that compute the same are to be equal, and equal ones are to compute the same ever
        after, for any floating dtype: their matrices are kept. A frozen dataclass serves; a bound
        method of a module that changes does not.

        Args:
            size: D.

        Raises:
            ValueError: If features of this size have no two bands.
        """

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        check_features(x, self.dim)
        return split(x, self.dim, self.keep_dc, self.low_part(x.shape[self.dim]))


def split(x: Tensor, dim: int, keep_dc: bool, low_part: Callable[[Tensor], Tensor]) -> Bands:
    r"""Split features by a linear map of their mean-free part.

    .. math::
        x_\mathrm{low} = \mathrm{low\_part}(x - \bar x) \; [+ \; \bar x], \quad
        x_\mathrm{high} = x - \bar x - \mathrm{low\_part}(x - \bar x)

    The high band is the difference, so nothing is lost whatever the map. It is computed in float32
    (float64 for float64 input).

    Args:
        x: Features of any number of dimensions, checked by :func:`check_features`.
        dim: The axis to split along.
        keep_dc: Add the mean (in brackets above) to the low band; otherwise it is in neither band.
        low_part: Map from mean-free features, their axis last, to their mean-free low band.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x
    """
    x = at_least_float32(x)
    mean = x.mean(dim, keepdim=True)
    # Centred first, so that a large mean costs the bands no precision; twice, since the first mean
    # is rounded at its own magnitude.
    centred = x - mean
    rest = centred.mean(dim, keepdim=True)
    centred = centred - rest
    # There is no Fourier transform of no samples.
    low = low_part(centred.movedim(dim, -1)).movedim(-1, dim) if x.numel() else centred
    high = centred - low
    return Bands(low + rest + mean if keep_dc else low, high)


def check_features(x: Tensor, dim: int) -> None:
    """Raise unless features can be split along an axis.

    Shape:
        - x: [N, D, ...], or D at ``dim``
    """
    check_tensor("features", x, "[N, D, ...]")
    check_axis("dim", dim, x)


def check_threshold(threshold: float) -> None:
    """Raise unless the threshold is in (0, 1)."""
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise TypeError(f"threshold={threshold!r} must be a number, for example 0.5")
    if not 0 < threshold < 1:
        raise ValueError(
            f"threshold={threshold} is outside (0, 1): it is the share of the non-zero "
            "frequencies that goes into the low band, for example 0.5"
        )


def last_low_bin(threshold: float, size: int, last: int, least: int = 4) -> int:
    """Return the last bin of the low band.

    Args:
        threshold: Cut-off as a fraction of the bins 1..last, in (0, 1).
        size: D, for the error.
        last: The last bin of the features' spectrum.
        least: The smallest D with two bins, for the error.

    Raises:
        ValueError: If a band is left without a bin.
    """
    # 0.29 * 100 is 28.999999999999996: without the epsilon the low band would lose a bin.
    cutoff = math.floor(threshold * last + 1e-9)
    if cutoff < 1 or cutoff >= last:
        band = "low" if cutoff < 1 else "high"
        remedy = (
            f"choose a threshold from {math.ceil(1e6 / last) / 1e6:g} to below 1"
            if last > 1
            else f"features need a size of at least {least} to have two bands"
        )
        raise ValueError(
            f"threshold={threshold} leaves the {band} band of features of size {size} empty "
            f"(their non-zero frequencies are the bins 1..{last}): {remedy}"
        )
    return cutoff
