"""Scale values by a power of 2 where their powers would overflow."""

import torch
from torch import Tensor


def in_range(x: Tensor, power: float, dims: tuple[int, ...]) -> Tensor:
    """Scale values so that the squares of their powers fit float32, unless they do.

    For results that do not depend on the scale, such as a normalised vector of powers. Ordinary
    values are multiplied by 1, which leaves every bit as it is; so does a power of 2 for the
    powers 1 and 2.

    Args:
        x: The values.
        power: The power to which they will be raised, before squares are added up.
        dims: Axes over which one factor is used.

    Shape:
        - x, output: any, the same

    Example:
        >>> in_range(torch.tensor([1.0, 4.0]), 4, (0,)), in_range(torch.tensor([2.0**40]), 4, (0,))
        (tensor([1., 4.]), tensor([0.5000]))
    """
    if not x.numel():
        return x
    mantissa, exponent = torch.frexp(x.detach().abs().amax(dims, keepdim=True))
    # The squares may span 2^-126 to 2^127.
    is_ordinary = exponent.abs() * (2 * power) <= 60
    shift = torch.where(is_ordinary | ~mantissa.isfinite(), 0, -exponent)
    # A product with the few factors: ldexp of all values takes most of the time of some losses.
    return x * torch.ldexp(torch.ones_like(mantissa), shift.clamp(-120, 120))
