"""Mean squared error of signed logarithms: the weak distance of the high bands."""

from torch import Tensor, nn

from fdkd_lightning.losses.outputs import require_same_shape
from fdkd_lightning.losses.signed_log import signed_log1p
from fdkd_lightning.ops.mean import mean_squared_error


def log_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean of :math:`(\sigma(s) - \sigma(t))^2` over all elements, sigma = :func:`signed_log1p`.

    It is weaker than MSE where values are large. Vectors of size D and unit length have elements
    near :math:`1/\sqrt{D}`; there it is a few per cent smaller than MSE.

    Args:
        student: The student's values.
        teacher: The teacher's values.

    Shape:
        - student, teacher: any, the same
        - output: scalar, 0 for an empty batch

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the values are not floating-point, or the shapes differ.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 9.

    Example:
        >>> import torch
        >>> log_mse_loss(torch.zeros(4), torch.ones(4)).sqrt()
        tensor(0.6931)
    """
    require_same_shape("values", student, teacher, "give bands of the same features' size")
    return mean_squared_error(signed_log1p(student), signed_log1p(teacher))


class LogMSELoss(nn.Module):
    """:func:`log_mse_loss` as a module.

    Shape:
        - student, teacher: any, the same
        - output: scalar

    Example:
        >>> import torch
        >>> LogMSELoss()(torch.zeros(4), torch.zeros(4))
        tensor(0.)
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss, a scalar."""
        return log_mse_loss(student, teacher)
