"""Make a matplotlib figure, and write it as PNG and SVG."""

from pathlib import Path
from typing import Any

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.optional import require

KINDS = ("png", "svg")
STYLES = ("-", "--", ":", "-.")
MARKERS = "os^Dv*XP"
"""Lines and markers that differ without colour, too."""


def new_figure(width: float, height: float, name: str) -> Any:
    """Return an empty figure whose parts make room for each other.

    Args:
        width: In inches.
        height: In inches.
        name: Its file's name without ending, for the error.

    Raises:
        ImportError: If matplotlib is not installed: the extra ``plots``.
    """
    matplotlib = require("matplotlib.figure", extra="plots", purpose=f"drawing {name}.png")
    return matplotlib.Figure(figsize=(width, height), layout="constrained")


def plain(text: str) -> str:
    r"""Return text that matplotlib draws as it is: dollar signs would enclose a formula.

    Example:
        >>> print(plain("5 $ and 10 $"))
        5 \$ and 10 \$
    """
    return text.replace("$", r"\$")


def save_figure(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write ``NAME.png`` and ``NAME.svg``; return the files."""
    files = [folder / f"{name}.{kind}" for kind in KINDS]
    for path in files:
        with atomic_write(path) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=150)
    return files
