"""Packages that only one part of the library needs: imported where used, installed by an extra."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
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


def find_package(package: str, extra: str, purpose: str) -> Path:
    """Return the folder of a package whose files are read, without importing it.

    Args:
        package: Name of the package, such as ``tensorly``.
        extra: The extra of this package that installs it.
        purpose: What it is needed for: the subject of the error.

    Raises:
        ImportError: If it is not installed; it gives the command that installs the extra.

    Example:
        >>> find_package("json", extra="demo", purpose="reading JSON").name
        'json'
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{purpose} needs the package {package}: {install_command(extra)}")
    return Path(next(iter(spec.submodule_search_locations)))


def install_command(extra: str) -> str:
    """Return the command that installs an extra, whether the package was installed or cloned."""
    return f'pip install "fdkd_lightning[{extra}]"'
