"""Saliency of a teacher's channels for what both modalities agree on."""

import torch
from torch import Tensor

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor


def mfh_saliency(
    student_logits: Tensor,
    teacher_features: Tensor,
    weight: Tensor,
    bias: Tensor,
    repeats: int = 10,
) -> Tensor:
    r"""Saliency of each teacher channel for what both modalities agree on, by permutation.

    .. math::
        s_d = \frac1R \sum_r \frac{1}{NK}
        \big\lVert Z^s - (\tilde F^{(d, r)} W^\top + b) \big\rVert^2, \quad
        \hat s_d = \frac{s_d - \min s}{\max s - \min s}

    where :math:`\tilde F^{(d, r)}` are the teacher's features with channel d permuted within the
    batch. If all channels have the same error, every value is 0.

    Args:
        student_logits: The student's logits.
        teacher_features: The teacher's features of the same samples.
        weight: Weight of the teacher's classifier.
        bias: Bias of the teacher's classifier.
        repeats: R, permutations per channel, at least 1, drawn from torch's global generator.

    Shape:
        - student_logits: [N, K]
        - teacher_features: [N, D]
        - weight: [K, D]
        - bias: [K]
        - output: [D], from 0 to 1

    Raises:
        TypeError: If an argument has another type.
        ValueError: If ``repeats`` is below 1, there is no sample, or the shapes do not fit each
            other.

    Reference:
        Z. Xue et al., "The modality focusing hypothesis: towards understanding crossmodal
        knowledge distillation", ICLR 2023 (arXiv 2206.06487), Algorithm 1;
        zihuixue/MFH, ravdess/utils/helper.py (``cal_overlap_tag``, 10 permutations).

    Example:
        >>> features = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]).repeat(8, 1)
        >>> mfh_saliency(features, features, torch.eye(2), torch.zeros(2))
        tensor([1., 0.])
    """
    check_count("repeats", repeats, example=10)
    _check(student_logits, teacher_features, weight, bias)
    saliency = permutation_errors(student_logits, teacher_features, weight, bias, repeats)
    lowest, highest = saliency.aminmax()
    return (saliency - lowest) / torch.where(highest > lowest, highest - lowest, 1.0)


def permutation_errors(
    logits: Tensor, features: Tensor, weight: Tensor, bias: Tensor, repeats: int
) -> Tensor:
    r"""Compute the error of each channel before it is scaled: :math:`s_d` of :func:`mfh_saliency`.

    Shape:
        - logits: [N, K]
        - features: [N, D]
        - weight: [K, D]
        - bias: [K]
        - output: [D]
    """
    logits = at_least_float32(logits)
    dtype = logits.dtype
    features, weight = features.to(dtype), weight.to(dtype)
    with torch.autocast(features.device.type, enabled=False):
        rest = features @ weight.T + bias.to(dtype) - logits
    # A masked class has no error.
    masked = logits == -torch.inf
    rest = rest.masked_fill(masked, 0.0)
    errors = torch.zeros(features.shape[1], dtype=dtype, device=features.device)
    for _ in range(repeats):
        # One permutation per channel; its change moves the logits along the channel's column of W.
        order = torch.rand(features.shape, device=features.device).argsort(0)
        change = (features.gather(0, order) - features).unsqueeze(-1) * weight.T
        moved = (rest.unsqueeze(1) + change).masked_fill(masked.unsqueeze(1), 0.0)
        errors += moved.square().mean((0, 2))
    return errors / repeats


def _check(logits: Tensor, features: Tensor, weight: Tensor, bias: Tensor) -> None:
    check_tensor("student_logits", logits, "[N, K]", 2)
    check_tensor("teacher_features", features, "[N, D]", 2)
    check_tensor("weight", weight, "[K, D]", 2)
    check_tensor("bias", bias, "[K]", 1)
    (n, k), (m, d) = logits.shape, features.shape
    fits = n == m and weight.shape == (k, d) and bias.shape == (k,)
    if not fits or not n * k * d:
        raise ValueError(
            f"student_logits {[n, k]}, teacher_features {[m, d]}, weight {list(weight.shape)} and "
            f"bias {list(bias.shape)} must be [N, K], [N, D], [K, D] and [K], none of them 0: give "
            "the outputs for the same samples and the teacher's last layer"
        )
