"""Whether gradients of a tensor reach others, found in the graph before they are computed."""

from collections.abc import Collection

from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge


def nodes_of(tensors: Collection[Tensor]) -> set[Node]:
    """Return the nodes of the graph at which gradients of these tensors arrive."""
    return {get_gradient_edge(x).node for x in tensors if x.requires_grad}


def reaches(value: Tensor, nodes: Collection[Node]) -> bool:
    """Return whether a gradient of the value passes one of the nodes.

    Example:
        >>> import torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> reaches((2 * x).sum(), nodes_of([x])), reaches(x.detach().sum(), nodes_of([x]))
        (True, False)
    """
    seen: set[Node] = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in nodes:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    return False
