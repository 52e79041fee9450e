"""A Fourier split whose cut-off frequency is learned with the student."""

import math

import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler.base import Decoupler, check_features, check_threshold, split
from fdkd_lightning.decoupler.frequency import filtered
from fdkd_lightning.ops.checks import check_flags, check_range
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Bands


class LearnableFrequencyDecoupler(Decoupler):
    r"""Split features at a soft cut-off frequency c that is learned with the student.

    .. math::
        x_\mathrm{low} = \mathrm{irfft}(F \cdot M), \quad
        M_k = [k \ge 1] \, \mathrm{sigmoid}\Big(\frac{c - k / K}{s}\Big), \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad K = \lfloor D / 2 \rfloor

    .. math::
        c = m + (1 - 2 m) \, \mathrm{sigmoid}(\theta), \quad
        L_\mathrm{cutoff} = \mathrm{strength} \cdot (c - \mathrm{threshold})^2

    Nothing is lost, as in :func:`frequency_split`. But the bands overlap: they are not orthogonal,
    and splitting a band again changes it. In the limit s = 0 this is :func:`frequency_split`,
    except that a bin exactly at the cut-off (k/K = c) is divided equally between the bands.

    A loss could make the distance of two bands small by emptying a band. Two things prevent this:
    c keeps the margin m from 0 and 1, and :meth:`terms` penalises its distance from ``threshold``.
    With K at least 1/m the low band keeps its first frequency. (Weight decay on theta pulls c to
    1/2, whatever its initial value.)

    Args:
        threshold: Initial value of c, as a fraction of the non-zero frequencies, between ``margin``
            and 1 - ``margin``.
        temperature: Softness s, above 0, as a fraction of the non-zero frequencies: the gain falls
            from 0.88 to 0.12 within 4 s. The smaller s, the fewer frequencies contribute to the
            gradient of c.
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.
        margin: Distance m that c keeps from 0 and 1, in (0, 0.5).
        strength: Weight of the term ``cutoff``, at least 0; 0 disables the penalty. By default a
            change of c by 0.1 costs 0.001, while the mean distance of two bands is at most 4/D. A
            loss that sums over D needs a strength D times as large.

    Shape:
        - x: [N, D, ...], or D at ``dim``; D at least 4
        - output: two tensors like x

    Raises:
        ValueError: If an argument is out of range, or D is below 4.

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
        check_flags(keep_dc=keep_dc)
        check_range("temperature", temperature, above=0, example=0.05)
        check_range("margin", margin, above=0, below=0.5, example=0.05)
        if not margin < threshold < 1 - margin:
            raise ValueError(
                f"threshold={threshold} is not between margin={margin} and {1 - margin:g}, where "
                "the cut-off is kept: choose a smaller margin or another threshold"
            )
        check_range("strength", strength, 0, example=0.1)
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
        """Cut-off frequency c as a fraction of the non-zero frequencies, with gradient."""
        theta = at_least_float32(self.theta[0])
        return self.margin + (1 - 2 * self.margin) * theta.sigmoid()

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        check_features(x, self.dim)
        size = x.shape[self.dim]
        if size < 4:
            raise ValueError(
                f"features of size {size} leave a band empty (their non-zero frequencies are the "
                f"bins 1..{size // 2}): features need a size of at least 4 to have two bands"
            )
        x = at_least_float32(x)
        bins = torch.arange(size // 2 + 1, device=x.device, dtype=x.dtype)
        gain = ((self.cutoff - bins / (size // 2)) / self.temperature).sigmoid() * (bins >= 1)
        return split(x, self.dim, self.keep_dc, lambda centred: filtered(centred, gain))

    def terms(self) -> dict[str, Tensor]:
        """Return the penalty that keeps the cut-off frequency near ``threshold``."""
        return {"cutoff": self.strength * (self.cutoff - self.threshold) ** 2}

    def logged_values(self) -> dict[str, Tensor]:
        """Return the current cut-off frequency."""
        return {"threshold": self.cutoff.detach()}
