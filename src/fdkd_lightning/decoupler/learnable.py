"""A cut-off that is learned with the student."""

import math

import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler.base import Decoupler, check_threshold, split
from fdkd_lightning.decoupler.frequency import filtered
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Bands


class LearnableFrequencyDecoupler(Decoupler):
    r"""A soft cut in the Fourier spectrum, at a cut-off c that is learned with the student.

    .. math::
        x_\mathrm{low} = \mathrm{irfft}(F \cdot M), \quad
        M_k = [k \ge 1] \, \mathrm{sigmoid}\Big(\frac{c - k / K}{s}\Big), \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad K = \lfloor D / 2 \rfloor

    .. math::
        c = m + (1 - 2 m) \, \mathrm{sigmoid}(\theta), \quad
        L_\mathrm{cutoff} = \mathrm{strength} \cdot (c - \mathrm{threshold})^2

    Nothing is lost, as with :func:`frequency_split`, but the bands overlap: they are not
    orthogonal, and splitting a band again is not without effect. For s to 0 it becomes the hard
    cut, save that a bin right at the cut-off (k/K = c) is shared half and half.

    A distance of bands can be made small by emptying a band. Two things are in the way: c stays
    away from 0 and 1 by the margin m, and :meth:`terms` holds it near where it began. The margin
    leaves the low band its first frequency as long as K is at least 1/m. (Weight decay on theta
    pulls c to 1/2, wherever it began.)

    Args:
        threshold: Where c begins, as a fraction of the non-zero frequencies, between ``margin``
            and 1 - ``margin``.
        temperature: The softness s, above 0, in the same unit: the gain falls from 0.88 to 0.12
            within 4 s. The smaller, the fewer frequencies tell c where to go.
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.
        margin: The distance m that c keeps from 0 and from 1, in (0, 0.5).
        strength: Weight of the term ``cutoff``; 0 leaves c to the loss alone. Moving c by 0.1
            costs 0.001 by default, where the mean distance of two bands is at most 4/D; a loss
            that sums over D takes D times as much, as the distances.

    Shape:
        - x: any, D at ``dim``, at least 4
        - bands: as x

    Raises:
        ValueError: If an argument is out of its range, or features are too small for two bands.

    Example:
        >>> decoupler = LearnableFrequencyDecoupler(threshold=0.25)
        >>> low, high = decoupler(torch.randn(8, 512))
        >>> round(decoupler.cutoff.item(), 4), decoupler.terms()["cutoff"].item() < 1e-9
        (0.25, True)
    """

    def __init__(
        self,
        threshold: float = 0.5,
        temperature: float = 0.05,
        dim: int = 1,
        keep_dc: bool = False,
        margin: float = 0.05,
        strength: float = 0.1,
    ) -> None:
        super().__init__(dim)
        check_threshold(threshold)
        if not temperature > 0:
            raise ValueError(f"temperature={temperature} must be above 0, for example 0.05")
        if not 0 < margin < 0.5:
            raise ValueError(f"margin={margin} must be in (0, 0.5), for example 0.05")
        if not margin < threshold < 1 - margin:
            raise ValueError(
                f"threshold={threshold} is not between margin={margin} and {1 - margin:g}, where "
                "the cut-off is kept: choose a smaller margin or another threshold"
            )
        if not strength >= 0:
            raise ValueError(f"strength={strength} must be at least 0, for example 0.1")
        self.threshold = threshold
        self.temperature = temperature
        self.keep_dc = keep_dc
        self.margin = margin
        self.strength = strength
        share = (threshold - margin) / (1 - 2 * margin)
        # One element, not a scalar: FSDP takes no scalars.
        self.theta = nn.Parameter(torch.tensor([math.log(share / (1 - share))]))

    @property
    def cutoff(self) -> Tensor:
        """The cut-off c, a scalar with a gradient."""
        theta = self.theta[0]
        theta = at_least_float32(theta)
        return self.margin + (1 - 2 * self.margin) * theta.sigmoid()

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        size = x.shape[self.dim]
        if size < 4:
            raise ValueError(
                f"features of size {size} leave a band empty (their non-zero frequencies are the "
                f"bins 1..{size // 2}): features need a size of at least 4 to have two bands"
            )
        dtype = torch.promote_types(x.dtype, torch.float32)
        bins = torch.arange(size // 2 + 1, device=x.device, dtype=dtype)
        gain = ((self.cutoff - bins / (size // 2)) / self.temperature).sigmoid() * (bins >= 1)
        return split(x, self.dim, self.keep_dc, lambda centred: filtered(centred, gain))

    def terms(self) -> dict[str, Tensor]:
        """What holds the cut-off near ``threshold``."""
        return {"cutoff": self.strength * (self.cutoff - self.threshold) ** 2}

    def logged_values(self) -> dict[str, Tensor]:
        """The cut-off as it is now."""
        return {"threshold": self.cutoff.detach()}

    def extra_repr(self) -> str:
        """The arguments, for ``print(model)``."""
        return (
            f"threshold={self.threshold}, temperature={self.temperature}, dim={self.dim}, "
            f"keep_dc={self.keep_dc}, margin={self.margin}, strength={self.strength}"
        )
