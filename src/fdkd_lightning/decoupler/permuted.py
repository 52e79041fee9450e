"""A control split: another split on channels in a random order."""

from functools import lru_cache

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import Decoupler, check_features
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import Bands


class PermutedDecoupler(Decoupler):
    r"""Split permuted channels with another decoupler, and permute the bands back.

    .. math::
        x_b = P^\top \, \mathrm{split}_b(P x), \quad b \in \{\mathrm{low}, \mathrm{high}\}

    Only the neighbourhood of channels changes; the bands keep their sizes and all other properties
    of the wrapped split. If a method does as well with this split, its gain does not come from the
    order of the channels.

    A seed gives the same permutation P for teacher and student, on every device and rank.

    Args:
        decoupler: The wrapped split, which also sets ``dim``, the terms and the logged values.
        seed: Seed of the permutation.

    Shape:
        - x: as for the wrapped split
        - output: two tensors like x

    Raises:
        TypeError: If ``decoupler`` is no split, or ``seed`` no whole number.
        ValueError: If ``seed`` is negative.

    Example:
        >>> from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
        >>> low, high = PermutedDecoupler(FrequencyDecoupler(), seed=1)(torch.randn(8, 64))
        >>> low.shape
        torch.Size([8, 64])
    """

    def __init__(self, decoupler: Decoupler, seed: int = 0) -> None:
        if not isinstance(decoupler, Decoupler):
            kind = type(decoupler).__name__
            raise TypeError(f"decoupler is of type {kind}: give a split, FrequencyDecoupler()")
        check_count("seed", seed, 0, 2**63 - 1)
        super().__init__(decoupler.dim)
        self.decoupler = decoupler
        self.seed = seed

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        check_features(x, self.dim)
        order, inverse = _permutation(x.shape[self.dim], self.seed, x.device)
        bands: Bands = self.decoupler(x.index_select(self.dim, order))
        return Bands(*(band.index_select(self.dim, inverse) for band in bands))

    def terms(self) -> dict[str, Tensor]:
        """Return the wrapped split's terms."""
        return self.decoupler.terms()

    def logged_values(self) -> dict[str, Tensor]:
        """Return the wrapped split's logged values."""
        return self.decoupler.logged_values()


# Drawn on the CPU, whose generator gives the same numbers on every machine. Cached per device
# outside the module, so that the module copies, pickles and moves without it. A tensor made in
# inference mode could not be used in training later: hence the mode is left.
@lru_cache(maxsize=8)
def _permutation(size: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        generator = torch.Generator("cpu").manual_seed(seed)
        order = torch.randperm(size, generator=generator, device="cpu")
        return order.to(device), order.argsort().to(device)
