"""FD-CMKD as the formulas read: the baseline that the cost of the loss is measured against."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def plain_fdkd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    heads: Sequence[nn.Linear] = (),
    threshold: float = 0.5,
) -> Tensor:
    r"""Sum the terms of FD-CMKD, with two inverse transforms a network and no care for edges.

    .. math:: \ell_\mathrm{low} + \ell_\mathrm{high} + L_\mathrm{align}

    Args:
        student: The student's features.
        teacher: The teacher's features.
        target: Class indices.
        heads: Classifiers of the low and the high band; none: no alignment term.
        threshold: Cut-off as a fraction of the non-zero frequencies.

    Shape:
        - student, teacher: [N, D, ...]; [N, D] with heads
        - target: [N]
        - output: scalar

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-10.

    Example:
        >>> x, y = torch.tensor([[2.0, 0, 5, 1]]), torch.tensor([[1.0, 2, 0, 5]])
        >>> plain_fdkd(x, y, torch.tensor([0]))
        tensor(1.1576)
    """
    own, its = _split(student, threshold), _split(teacher.detach(), threshold)
    low = ((_unit(own[0]) - _unit(its[0])) ** 2).mean()
    high = ((_signed_log(_unit(own[1])) - _signed_log(_unit(its[1]))) ** 2).mean()
    total = low + high
    for bands in (own, its) if heads else ():
        for head, band in zip(heads, bands, strict=True):
            total = total + F.cross_entropy(head(band.relu()), target)
    return total


def _split(x: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    size = x.shape[1]
    spectrum = torch.fft.rfft(x, dim=1)
    bins = torch.arange(size // 2 + 1, device=x.device).view(-1, *[1] * (x.ndim - 2))
    cutoff = int(threshold * (size // 2) + 1e-9)
    low, high = (bins >= 1) & (bins <= cutoff), bins > cutoff
    return (
        torch.fft.irfft(spectrum * low, n=size, dim=1),
        torch.fft.irfft(spectrum * high, n=size, dim=1),
    )


def _unit(x: Tensor) -> Tensor:
    x = x - x.mean(1, keepdim=True)
    unit: Tensor = x / x.norm(dim=1, keepdim=True)
    return unit


def _signed_log(x: Tensor) -> Tensor:
    result = torch.zeros_like(x)
    positive, negative = x > 0, x < 0
    result[positive] = torch.log(1 + x[positive])
    result[negative] = -torch.log(1 - x[negative])
    return result
