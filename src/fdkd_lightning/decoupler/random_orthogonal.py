"""A control split: random subspaces as large as the paper's bands."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import OrthogonalDecoupler, check_threshold, last_low_bin
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.linear_split import LowPart


class RandomOrthogonalDecoupler(OrthogonalDecoupler):
    r"""Two orthogonal random subspaces with the dimensions of a frequency split's bands.

    .. math::
        x_\mathrm{low} = Q Q^\top x, \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad
        Q \in \mathbb{R}^{D \times 2c}, \quad Q^\top Q = I, \quad Q^\top 1 = 0, \quad
        c = \lfloor \mathrm{threshold} \cdot \lfloor D / 2 \rfloor \rfloor

    The order of a network's channels is arbitrary as long as no layer ties neighbours together.
    If a method does as well with this split as with :class:`FrequencyDecoupler`, its gain comes
    from having two bands, not from frequencies.

    The low subspace is uniformly distributed among the mean-free subspaces of 2c dimensions. At
    the same threshold :class:`FrequencyDecoupler` has as many: a cosine and a sine for each of the
    bins 1..c. For one seed, the low subspace of a lower threshold lies within that of a higher one.

    A seed gives the same subspace for teacher and student, on every device and rank. The matrix is
    computed once per size (a second for D = 2048) and is not part of the state dict. On a GPU the
    product has the precision of ``torch.set_float32_matmul_precision``: below ``"highest"`` the
    bands are orthogonal to three digits only, but low + high = x - mean(x) still holds.

    Args:
        threshold: Share of the dimensions in the low band, counted as frequencies, in (0, 1).
        dim: The axis to split along, of size D, odd or even.
        seed: Seed of the subspaces.
        keep_dc: Put the mean into the low band.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x

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
        super().__init__(dim, keep_dc)
        check_threshold(threshold)
        check_count("seed", seed, 0, 2**63 - 1)
        self.threshold = threshold
        self.seed = seed

    def low_part(self, size: int) -> LowPart:
        """Return the projection onto the random subspace."""
        return _OntoSubspace(2 * last_low_bin(self.threshold, size, size // 2), self.seed)


@dataclass(frozen=True)
class _OntoSubspace:
    width: int
    seed: int

    def __call__(self, x: Tensor) -> Tensor:
        basis = _random_basis(x.shape[-1], self.width, self.seed, x.dtype, x.device)
        device = x.device.type
        # Autocast would round the product to bf16; some devices have no autocast.
        known = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if known else nullcontext():
            return x @ basis @ basis.T


# Drawn on the CPU, whose generator gives the same numbers on every machine. Cached per device
# outside the module, so that the module copies, pickles and moves without the matrix. A tensor made
# in inference mode could not be used in training later: hence the mode is left.
@lru_cache(maxsize=8)
def _random_basis(
    size: int, width: int, seed: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    with torch.inference_mode(False):
        generator = torch.Generator("cpu").manual_seed(seed)
        # All columns are drawn whatever the width, so that the first ones stay the same.
        columns = torch.randn(
            size, size - 1, dtype=torch.float64, generator=generator, device="cpu"
        )[:, :width]
        # A QR decomposition leaves the signs of the columns open; they cancel in Q Q^T.
        basis: Tensor = torch.linalg.qr(columns - columns.mean(0)).Q
        return basis.to(device, dtype)
