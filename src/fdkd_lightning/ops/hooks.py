"""Whether calling a module does more than its class's ``forward``."""

from torch import nn


def has_hooks(*modules: nn.Module) -> bool:
    """Return whether a module has hooks or a ``forward`` of its own, not counting global hooks.

    Such a module has to be called: a function that computes the same would leave these out, as
    ``torch.nn.TransformerEncoderLayer`` knows of its fast path.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> handle = layer.register_forward_hook(print)
        >>> has_hooks(nn.Linear(1, 1)), has_hooks(nn.Linear(1, 1), layer)
        (False, True)
    """
    # One loop, and no generator: it runs at each step.
    for module in modules:
        own = module.__dict__
        if (
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own["_backward_hooks"]
            or own["_backward_pre_hooks"]
            or "forward" in own
        ):
            return True
    return False
