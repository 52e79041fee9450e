"""A linear probe: what a linear classifier reads from features with the labels there are."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fdkd_lightning.analysis.row_checks import check_features
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.tensor_checks import check_classes, check_labels
from fdkd_lightning.types import IGNORE_INDEX


def probe_accuracy(
    features: Tensor,
    label: Tensor,
    held_out_features: Tensor,
    held_out_label: Tensor,
    num_classes: int,
) -> float:
    r"""Compute the accuracy of a linear classifier that is trained on features.

    .. math:: \min_{W, b} \sum_i CE(W z_i + b, c_i) + \tfrac{1}{2} \|W\|^2

    z are the features, standardised by mean and standard deviation of all training rows. Rows
    without a label (-100) take part in these only. The optimum does not depend on a seed.

    Args:
        features: Features to train on.
        label: Their classes; -100: none.
        held_out_features: Features to evaluate on.
        held_out_label: Their classes; rows with -100 are left out.
        num_classes: K, the number of classes.

    Shape:
        - features: [N, D]
        - label: [N] int64
        - held_out_features: [M, D]
        - held_out_label: [M] int64

    Raises:
        TypeError: If an argument has another type.
        ValueError: If features are not finite floating-point [N, D], shapes differ, a label is no
            class, or one of the two has no label.

    Example:
        >>> features, label = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> probe_accuracy(features, label, 3 * features, label, num_classes=2)
        1.0
    """
    check_count("num_classes", num_classes)
    parts = {
        "features": (features, label),
        "held_out_features": (held_out_features, held_out_label),
    }
    labels = {}
    for name, (rows, classes) in parts.items():
        check_features(name, rows)
        label_name = name.replace("features", "label")
        shape = f"{name} of shape {list(rows.shape)}"
        check_labels(label_name, classes, (len(rows),), shape)
        check_classes(label_name, classes, num_classes)
        if (classes == IGNORE_INDEX).all():
            raise ValueError(f"{label_name} holds -100 alone for {shape}: give some rows a class")
        labels[name] = classes != IGNORE_INDEX
    if features.shape[1] != held_out_features.shape[1]:
        raise ValueError(
            f"features has shape {list(features.shape)}, held_out_features "
            f"{list(held_out_features.shape)}: give one width"
        )
    mean, std = features.double().mean(0), features.double().std(0, correction=0)
    std = torch.where(std > 0, std, 1)
    train, held_out = ((rows.double() - mean) / std for rows in (features, held_out_features))
    is_labelled, is_scored = labels.values()
    weight, bias = fit_logistic(train[is_labelled], label[is_labelled], num_classes)
    correct = (held_out @ weight + bias).argmax(1) == held_out_label
    return float(correct[is_scored].double().mean())


def fit_logistic(x: Tensor, label: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Fit a multinomial logistic regression with a penalty of half the squared weights.

    Args:
        x: Standardised features in float64.
        label: Class of each row.
        num_classes: K, the number of classes.

    Shape:
        - x: [N, D]
        - label: [N] int64
        - output: [D, K], [K]

    Example:
        >>> weight, bias = fit_logistic(torch.eye(2).double(), torch.tensor([0, 1]), 2)
        >>> bool(weight[0, 0] > 0), bool(weight[1, 0] < 0)
        (True, True)
    """
    weight = torch.zeros(x.shape[1], num_classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=1000,
        tolerance_grad=1e-8,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(x @ weight + bias, label, reduction="sum")
        total: Tensor = loss + weight.square().sum() / 2
        torch.autograd.backward(total)
        return total

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return weight.detach(), bias.detach()
