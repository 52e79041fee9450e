"""Splits that know nothing of frequencies: what the paper's must be compared with.

The order of a network's channels is arbitrary as long as no layer ties neighbours together. Where
a method does as well with these splits, its gain comes of having two bands, not of frequencies.
"""

from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import Decoupler, check_threshold, last_low_bin, split
from fdkd_lightning.types import Bands


class RandomOrthogonalDecoupler(Decoupler):
    r"""Two random subspaces, orthogonal to each other, as large as the bands of a frequency split.

    .. math::
        x_\mathrm{low} = Q Q^\top x, \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad
        Q \in \mathbb{R}^{D \times 2c}, \quad Q^\top Q = I, \quad Q^\top 1 = 0, \quad
        c = \lfloor \mathrm{threshold} \cdot \lfloor D / 2 \rfloor \rfloor

    The low subspace is uniformly distributed among all that have no mean. Its 2c dimensions are
    those of :class:`FrequencyDecoupler` at the same threshold, whose bins 1..c have a cosine and a
    sine each. With one seed, that of a lower threshold lies within that of a higher one.

    A seed means the same subspace for teacher and student, on every device and in every process.
    The matrix is made once per size (a second for D = 2048) and is no part of the state dict. On a
    GPU the product has the precision of ``torch.set_float32_matmul_precision``: below
    ``"highest"`` the bands are orthogonal to three digits only; nothing is lost all the same.

    Args:
        threshold: Share of the dimensions in the low band, counted as frequencies, in (0, 1).
        dim: The axis to split along, of size D, odd or even.
        seed: Chooses the subspaces.
        keep_dc: Put the mean into the low band.

    Shape:
        - x: any, D at ``dim``
        - bands: as x

    Raises:
        ValueError: If the threshold is outside (0, 1) or leaves a band without a frequency.

    Example:
        >>> low, high = RandomOrthogonalDecoupler(seed=1)(torch.randn(8, 64))
        >>> (low * high).sum(1).abs().max().item() < 1e-4
        True
    """

    def __init__(
        self, threshold: float = 0.5, dim: int = 1, seed: int = 0, keep_dc: bool = False
    ) -> None:
        super().__init__(dim)
        check_threshold(threshold)
        self.threshold = threshold
        self.seed = seed
        self.keep_dc = keep_dc

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        size = x.shape[self.dim]
        width = 2 * last_low_bin(self.threshold, size, size // 2)

        def low_part(centred: Tensor) -> Tensor:
            basis = _random_basis(size, width, self.seed, centred.dtype, centred.device)
            kind = centred.device.type
            # Autocast would round the product to bf16; devices without it have no switch.
            known = torch.amp.is_autocast_available(kind)
            with torch.autocast(kind, enabled=False) if known else nullcontext():
                return centred @ basis @ basis.T

        return split(x, self.dim, self.keep_dc, low_part)

    def extra_repr(self) -> str:
        """The arguments, for ``print(model)``."""
        return (
            f"threshold={self.threshold}, dim={self.dim}, seed={self.seed}, keep_dc={self.keep_dc}"
        )


class PermutedDecoupler(Decoupler):
    r"""Another split of channels in another order, put back afterwards.

    .. math::
        x_b = P^\top \, \mathrm{split}_b(P x), \quad b \in \{\mathrm{low}, \mathrm{high}\}

    The bands keep their sizes and all else that the wrapped split promises; only which channels
    count as neighbours changes. A seed means the same permutation P for teacher and student, on
    every device and in every process.

    Args:
        decoupler: The split; its axis, its terms and its records are this one's.
        seed: Chooses the permutation.

    Shape:
        - x: as the wrapped split's
        - bands: as x

    Example:
        >>> from fdkd_lightning.decoupler import FrequencyDecoupler
        >>> low, high = PermutedDecoupler(FrequencyDecoupler(), seed=1)(torch.randn(8, 64))
        >>> low.shape
        torch.Size([8, 64])
    """

    def __init__(self, decoupler: Decoupler, seed: int = 0) -> None:
        super().__init__(decoupler.dim)
        self.decoupler = decoupler
        self.seed = seed

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        order, inverse = _permutation(x.shape[self.dim], self.seed, x.device)
        bands: Bands = self.decoupler(x.index_select(self.dim, order))
        return Bands(*(band.index_select(self.dim, inverse) for band in bands))

    def terms(self) -> dict[str, Tensor]:
        """The wrapped split's."""
        return self.decoupler.terms()

    def logged_values(self) -> dict[str, Tensor]:
        """The wrapped split's."""
        return self.decoupler.logged_values()

    def extra_repr(self) -> str:
        """The arguments, for ``print(model)``."""
        return f"seed={self.seed}"


class WholeDecoupler(Decoupler):
    r"""No split: the low band is the whole feature, less its mean, and the high band is zero.

    .. math:: x_\mathrm{low} = x - \bar x, \quad x_\mathrm{high} = 0

    What a loss of bands gains from its split is what it has over this one.

    Shape:
        - x: any
        - bands: as x

    Example:
        >>> low, high = WholeDecoupler()(torch.tensor([[1.0, 3.0]]))
        >>> low.tolist(), high.tolist()
        ([[-1.0, 1.0]], [[0.0, 0.0]])
    """

    def forward(self, x: Tensor) -> Bands:
        """The centred features, and nothing."""
        return split(x, self.dim, False, lambda centred: centred)

    def extra_repr(self) -> str:
        """The arguments, for ``print(model)``."""
        return f"dim={self.dim}"


# Both are drawn on the CPU, whose generator gives the same numbers everywhere, and kept per device
# outside the modules, so that these copy, pickle and move as if there were nothing. What is made in
# inference mode could not be used in training later on: hence the mode is left.


@lru_cache(maxsize=8)
def _random_basis(
    size: int, width: int, seed: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    with torch.inference_mode(False):
        generator = torch.Generator("cpu").manual_seed(seed)
        # Whatever the width, all columns are drawn: the first ones stay the same.
        columns = torch.randn(
            size, size - 1, dtype=torch.float64, generator=generator, device="cpu"
        )[:, :width]
        # The signs of the columns, which a QR decomposition leaves open, drop out of Q Q^T.
        basis: Tensor = torch.linalg.qr(columns - columns.mean(0)).Q
        return basis.to(device, dtype)


@lru_cache(maxsize=8)
def _permutation(size: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        generator = torch.Generator("cpu").manual_seed(seed)
        order = torch.randperm(size, generator=generator, device="cpu")
        return order.to(device), order.argsort().to(device)
