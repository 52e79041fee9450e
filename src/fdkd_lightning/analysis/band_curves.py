"""Band similarity of two modalities' features as curves: over the threshold, per frequency."""

from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.analysis.bootstrap import bootstrap_interval
from fdkd_lightning.analysis.row_checks import check_groups, check_paired

PERMUTATIONS = 19
MOST_THRESHOLDS = 64
"""Of more possible cut-off frequencies, about so many are computed."""
EPSILON = 1e-8
"""Least product of norms, as in torch.cosine_similarity."""
WITHOUT_DC, WITH_DC, PERMUTED = "without DC", "with DC", "channels permuted"


class BandPoint(NamedTuple):
    """One point of a curve.

    Args:
        variant: ``without DC``, ``with DC`` or ``channels permuted`` (without DC).
        band: ``low`` or ``high``, over the threshold; ``frequency``: a single frequency.
        position: The threshold, or the frequency, as a fraction of the highest frequency.
        cosine: Mean cosine of the pairs.
        low: Lower end of its 95 % bootstrap interval over the pairs.
        high: Upper end.
    """

    variant: str
    band: str
    position: float
    cosine: float
    low: float
    high: float


def band_curves(
    x: Tensor, y: Tensor, groups: Tensor | None = None, seed: int = 0
) -> list[BandPoint]:
    r"""Compute the mean cosine of the bands for every threshold, and of every frequency.

    .. math::
        \cos_i(B) = \frac{\sum_{k \in B} w_k \, \mathrm{Re}(X_{ik} \overline{Y_{ik}})}
        {\sqrt{\sum_{k \in B} w_k |X_{ik}|^2} \sqrt{\sum_{k \in B} w_k |Y_{ik}|^2}}, \quad
        X = \mathrm{rfft}(x)

    By Parseval's theorem this is the cosine of the bands of
    :func:`~fdkd_lightning.frequency_split`; w is 2, and 1 for the mean (DC) and the highest
    frequency of an even D. With DC only the low band differs. The permutations are the same for
    both modalities; a pair's cosine is then its mean over 19 permutations.

    Args:
        x: Features of one modality.
        y: Features of the other modality; row i is paired with row i of ``x``.
        groups: Group of each pair, which the bootstrap draws as a whole; None: pairs are
            independent.
        seed: Seed of permutations and bootstrap.

    Shape:
        - x, y: [N, D], D at least 4
        - groups: [N] int64

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the features are not finite floating-point [N, D], differ in shape, or D is
            below 4, or the groups are not one per row.

    Example:
        >>> x = torch.randn(16, 8)
        >>> [(p.position, round(p.cosine, 4)) for p in band_curves(x, x) if p.band == "low"][:3]
        [(0.25, 1.0), (0.5, 1.0), (0.75, 1.0)]
    """
    x, y = check_paired(x, y)
    if x.shape != y.shape or x.shape[1] < 4:
        raise ValueError(
            f"x has shape {list(x.shape)}, y {list(y.shape)}: give features of one width, at least "
            "4"
        )
    if groups is not None:
        groups = check_groups("groups", groups, len(x), f"x of shape {list(x.shape)}")
    highest = x.shape[1] // 2
    step = -(-(highest - 1) // MOST_THRESHOLDS)
    cutoffs = torch.arange(1, highest, step)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(x.shape[1], generator=generator) for _ in range(PERMUTATIONS)]
    plain = _cosines(x, y, cutoffs)
    mixed: dict[str, Tensor] = {}
    for order in orders:
        for name, values in _cosines(x[:, order], y[:, order], cutoffs).items():
            mixed[name] = mixed.get(name, 0) + values / len(orders)
    thresholds = [cutoff / highest for cutoff in cutoffs.tolist()]
    frequencies = [k / highest for k in range(1, highest + 1)]
    curves = [
        (WITHOUT_DC, "low", thresholds, plain["low"]),
        (WITH_DC, "low", thresholds, plain["low with DC"]),
        (PERMUTED, "low", thresholds, mixed["low"]),
        (WITHOUT_DC, "high", thresholds, plain["high"]),
        (PERMUTED, "high", thresholds, mixed["high"]),
        (WITH_DC, "frequency", [0.0], plain["DC"]),
        (WITHOUT_DC, "frequency", frequencies, plain["frequency"]),
        (PERMUTED, "frequency", frequencies, mixed["frequency"]),
    ]
    found = []
    for variant, band, positions, values in curves:
        ends = bootstrap_interval(values, groups, seed=seed)
        columns = values.mean(0).tolist(), *(end.tolist() for end in ends)
        found += [
            BandPoint(variant, band, *point) for point in zip(positions, *columns, strict=True)
        ]
    return found


def _cosines(x: Tensor, y: Tensor, cutoffs: Tensor) -> dict[str, Tensor]:
    """Cosine of each pair [N, M] in each band."""
    size = x.shape[1]
    weight = torch.full((size // 2 + 1,), 2.0, dtype=x.dtype)
    weight[0] = 1
    if size % 2 == 0:
        weight[-1] = 1
    a, b = torch.fft.rfft(x), torch.fft.rfft(y)
    sums = torch.stack([(a * b.conj()).real, a.abs().square(), b.abs().square()]) * weight
    without = sums[..., 1:]
    low = without.cumsum(-1)[..., cutoffs - 1]
    # Summed from its own end: a difference of sums would lose digits.
    high = without.flip(-1).cumsum(-1).flip(-1)[..., cutoffs]
    bands = {
        "low": low,
        "low with DC": low + sums[..., :1],
        "high": high,
        "DC": sums[..., :1],
        "frequency": without,
    }
    return {
        name: dot / (xx * yy).sqrt().clamp(min=EPSILON * size)
        for name, (dot, xx, yy) in bands.items()
    }
