"""Checks of texts that a transform tokenizes."""

from collections.abc import Sequence


def check_texts(module: str, texts: Sequence[str]) -> None:
    """Raise unless a module's input is a list or tuple of strings."""
    kind = type(texts).__name__
    if isinstance(texts, list | tuple):
        others = [type(x).__name__ for x in texts if not isinstance(x, str)]
        if not others:
            return
        kind = f"{kind} with {others[0]}"
    raise TypeError(
        f"{module} takes a list of strings, but got {kind}: load this modality as text (TextRecipe)"
    )
