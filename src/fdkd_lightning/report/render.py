"""Fill a template into one HTML page that needs nothing beside it: no network, no other file."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fdkd_lightning.files.atomic_write import atomic_write

TEMPLATES = Path(__file__).with_name("templates")
PAGE = "report.html"
"""Name of the page in the folder that it reports on."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the page. Every name and text in it is escaped.

    Args:
        template: File name of the template.
        values: Name -> value of all that the template uses.

    Raises:
        jinja2.UndefinedError: If the template uses a name that has no value.
    """
    return _environment().get_template(template).render(values)


def save_page(folder: Path, text: str) -> Path:
    """Write a page as ``report.html`` into an existing folder; return its path."""
    with atomic_write(folder / PAGE, "w") as file:
        file.write(text)
    return folder / PAGE


def yaml_text(content: Any) -> str:
    """Format plain values as YAML, in their order."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text


@functools.cache
def _environment() -> Environment:
    # Compiled once a process: a template takes longer to compile than to fill.
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
