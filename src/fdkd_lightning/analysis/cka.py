"""Linear CKA: similarity of two sets of features, whatever their bases."""

import torch
from torch import Tensor

from fdkd_lightning.analysis.row_checks import check_paired


def linear_cka(x: Tensor, y: Tensor) -> float:
    r"""Compute the linear centred kernel alignment of paired features.

    .. math:: \frac{\|Y^T X\|_F^2}{\|X^T X\|_F \, \|Y^T Y\|_F}

    X and Y have their mean over the rows removed. The value lies between 0 and 1, and does not
    change when features are rotated or scaled as a whole. Independent features do not give 0: with
    fewer rows than features they come close to 1. So compare it with that of shuffled pairs.

    Args:
        x: Features of one modality.
        y: Features of the other modality; row i is paired with row i of ``x``.

    Shape:
        - x: [N, D]
        - y: [N, D'], another width or the same

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the features are not finite floating-point [N, D], have different numbers of
            rows, or are the same in all rows.

    Reference:
        Kornblith et al., "Similarity of Neural Network Representations Revisited"
        (arXiv:1905.00414), equation 4 with linear kernels.

    Example:
        >>> x = torch.randn(32, 8)
        >>> round(linear_cka(x, -2 * x.flip(1)), 6)
        1.0
    """
    x, y = check_paired(x, y)
    centred = []
    for name, features in (("x", x), ("y", y)):
        if (features == features[0]).all():
            raise ValueError(
                f"{name} has shape {list(features.shape)}, and all rows are the same: give rows "
                "that vary"
            )
        features = features - features.mean(0)
        # Squares of squares overflow early.
        centred.append(features / torch.linalg.matrix_norm(features))
    x, y = centred
    if len(x) < max(x.shape[1], y.shape[1]):
        kernels = x @ x.T, y @ y.T
        shared = (kernels[0] * kernels[1]).sum()
        return float(shared / (kernels[0].norm() * kernels[1].norm()))
    return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))
