"""The weak loss of the high bands: mean squared error of signed logarithms."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def signed_log1p(x: Tensor) -> Tensor:
    r"""Compress large values and keep the sign: :math:`\mathrm{sign}(x) \log(1 + |x|)`.

    Its derivative is :math:`1 / (1 + |x|)` everywhere. Written as it stands the formula has a zero
    gradient at x = 0 in automatic differentiation; the two halves below have the true one, 1.

    Args:
        x: Any values.

    Shape:
        - x, output: any

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 6.

    Example:
        >>> signed_log1p(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.6931,  0.0000,  0.6931])
    """
    # |x| has the gradient 0 at 0, so each half has 1/2 there: together exactly 1.
    positive, negative = (x.abs() + x) / 2, (x.abs() - x) / 2
    return torch.log1p(positive) - torch.log1p(negative)


def log_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean over all elements of :math:`(\sigma(s) - \sigma(t))^2`, sigma = :func:`signed_log1p`.

    Weaker than MSE where values are large. Standardised vectors of size D have elements near
    :math:`1/\sqrt{D}`, where it is MSE less a few per cent.

    Args:
        student: The student's values.
        teacher: The teacher's values.

    Shape:
        - student, teacher: any, the same
        - output: scalar

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 9.

    Example:
        >>> log_mse_loss(torch.zeros(4), torch.ones(4)).sqrt()
        tensor(0.6931)
    """
    return F.mse_loss(signed_log1p(student), signed_log1p(teacher))


class LogMSELoss(nn.Module):
    """:func:`log_mse_loss` as a module.

    Shape:
        - student, teacher: any, the same
        - output: scalar

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 9.

    Example:
        >>> LogMSELoss()(torch.zeros(4), torch.zeros(4))
        tensor(0.)
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss, a scalar."""
        return log_mse_loss(student, teacher)
