"""Packages that only one part of the library needs: imported where used, installed by an extra."""

from importlib import import_module
from typing import Any


def require(module: str, extra: str, purpose: str) -> Any:
    """Import a module that an optional dependency provides.

    Args:
        module: Name of the module, such as ``matplotlib.figure``.
        extra: The extra of this package that installs it.
        purpose: What it is needed for: the subject of the error.

    Returns:
        The module.

    Raises:
        ImportError: If the module cannot be imported; it gives the command that installs the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package {package}: {install_command(extra)} ({error})"
        ) from error


def install_command(extra: str) -> str:
    """Return the command that installs an extra, whether the package was installed or cloned."""
    return f'pip install "fdkd_lightning[{extra}]"'
