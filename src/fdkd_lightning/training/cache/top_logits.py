"""The largest logits of each sample, and what stands for the others."""

from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask

LOGITS = "logits"
"""Name of stored logits; parts of them are ``logits.values`` and so on."""


class TopLogits(NamedTuple):
    """The largest k logits.

    Args:
        values: These logits.
        classes: Their classes.
        rest: Logarithm of the mean of the exponentials of the others.

    Shape:
        - values, classes: [N, k, ...]
        - rest: [N, 1, ...]
    """

    values: Tensor
    classes: Tensor
    rest: Tensor


def top_logits(logits: Tensor, k: int) -> TopLogits:
    r"""Keep the largest k logits, and one value for all others.

    .. math::
        r = \log \frac{1}{K - k} \sum_{i \notin \mathrm{top}_k} e^{z_i}

    With r in place of each other logit the softmax of the k classes is what it was; the others
    share the rest of the probability evenly. At another temperature, or for ranks of the others, it
    is an approximation.

    Args:
        logits: Logits of one class per sample.
        k: Number of logits that are kept, below K.

    Shape:
        - logits: [N, K, ...]

    Raises:
        ValueError: If k is not below K.

    Reference:
        Shen and Xing, A Fast Knowledge Distillation Framework for Visual Recognition (arXiv
        2112.01528), marginal smoothing.

    Example:
        >>> logits = torch.tensor([[3.0, 0.0, 1.0, 0.0]])
        >>> top = top_logits(logits, 2)
        >>> restored_logits(top, 4)
        tensor([[3., 0., 1., 0.]])
    """
    size = logits.shape[1]
    if k >= size:
        raise ValueError(
            f"top_k={k} of a teacher with {size} classes: give a smaller number, or 0 to store all"
        )
    values, classes = logits.topk(k, dim=1)
    others = logits.scatter(1, classes, -torch.inf)
    rest = others.logsumexp(1, keepdim=True) - torch.tensor(size - k).log()
    return TopLogits(values, classes, rest)


def restored_logits(top: TopLogits, size: int) -> Tensor:
    """Return the logits of all classes.

    Args:
        top: The largest of them.
        size: K, the number of classes.

    Shape:
        - output: [N, K, ...]
    """
    shape = [len(top.rest), size, *top.rest.shape[2:]]
    return top.rest.expand(shape).scatter(1, top.classes, top.values)


def check_top_k(top_k: int, task: Task | None) -> None:
    """Raise if logits are cut off whose task has no softmax over them.

    Raises:
        ValueError: If the task has another meaning than one class per sample.
    """
    if top_k and task is not None and not isinstance(task, OneClassTask):
        raise ValueError(
            f"top_k={top_k} keeps the largest logits of one class per sample, but the task is "
            f"{type(task).__name__}: set it to 0, which stores all"
        )
