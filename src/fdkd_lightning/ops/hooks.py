"""Whether calling a module does more than its class's ``forward``."""

from torch import nn


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks of its own, or a ``forward`` of its own.

    Such a module has to be called: a function that computes the same would leave these out, as
    ``torch.nn.TransformerEncoderLayer`` knows of its fast path.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> handle = layer.register_forward_hook(print)
        >>> has_hooks(nn.Linear(1, 1)), has_hooks(layer)
        (False, True)
    """
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )
