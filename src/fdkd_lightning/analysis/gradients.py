"""Gradients of a loss's terms: their shares, and whether they conflict with the task."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class TermGradient(NamedTuple):
    """The gradient of one term of a loss.

    Args:
        term: Name of the term.
        norm: Its Euclidean norm over all parameters.
        share: The norm divided by the sum over all terms; NaN if that is 0.
        cosine: Cosine with the gradient of the reference term, below 0 where they conflict; NaN
            if one of the two is 0.
    """

    term: str
    norm: float
    share: float
    cosine: float


def term_gradients(
    terms: Mapping[str, Tensor], parameters: Iterable[Tensor], reference: str
) -> list[TermGradient]:
    r"""Compute each term's gradient with respect to the parameters, and compare them.

    .. math::
        \mathrm{share}_i = \frac{\|g_i\|}{\sum_j \|g_j\|}, \quad
        \cos_i = \frac{g_i \cdot g_\mathrm{ref}}{\|g_i\| \|g_\mathrm{ref}\|}, \quad
        g_i = \nabla_\theta L_i

    Args:
        terms: Name -> term, weighted as in the loss. A term without gradient counts as 0.
        parameters: The parameters; those without gradient are left out.
        reference: Name of the term that the others are compared with, such as the task loss.

    Shape:
        - each term: scalar

    Raises:
        KeyError: If no term has the name of the reference.
        ValueError: If no parameter is trainable.

    Reference:
        Yu et al., Gradient Surgery for Multi-Task Learning (arXiv:2001.06782), definition 1.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> terms = {"task": x.sum(), "low": -3 * x.sum()}
        >>> [(g.share, round(g.cosine, 4)) for g in term_gradients(terms, [x], "task")]
        [(0.25, 1.0), (0.75, -1.0)]
    """
    if reference not in terms:
        raise KeyError(f"reference={reference!r} is no term: name one of {', '.join(terms)}")
    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        raise ValueError("parameters holds none that is trainable: give those of the student")
    gradients = {name: _gradient(term, trainable) for name, term in terms.items()}
    norms = {name: float(gradient.norm()) for name, gradient in gradients.items()}
    total = torch.tensor(sum(norms.values()), dtype=torch.float64)
    found = []
    for name, gradient in gradients.items():
        # 0 / 0 is NaN for tensors: there is no direction.
        product = torch.tensor(norms[name] * norms[reference], dtype=torch.float64)
        cosine = float((gradient @ gradients[reference]).cpu() / product)
        found.append(TermGradient(name, norms[name], float(norms[name] / total), cosine))
    return found


def _gradient(term: Tensor, parameters: list[Tensor]) -> Tensor:
    if not term.requires_grad:
        parts = [torch.zeros_like(p) for p in parameters]
    else:
        parts = [*torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True)]
    return torch.cat([part.detach().double().flatten() for part in parts])
