"""The site of nox -s docs: the guides beside this file, and an API page per public name."""

import ast
from importlib.metadata import version as version_of
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

project = "fdkd_lightning"
author = "fdkd_lightning developers"
release = version = version_of(project)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = f"fdkd_lightning {release}"
exclude_patterns = ["**/.*"]
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository, such as ../demo.py
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shape", "Reference", ("Returns", "params_style")]

lexers["csv"] = TextLexer()  # Pygments has none

# Room -> title of its part of the index.
ROOMS = {
    "": "The package",
    "decoupler": "Decouplers",
    "losses": "Losses",
    "models": "Models",
    "data": "Data",
    "data.preparation.recipe": "Recipes",
}
SOURCE = Path(__file__).parents[2] / "src" / project
PAGES = Path(__file__).parent / "api"


def public_names(stub: Path) -> list[str]:
    """The names that a stub exports, in its order."""
    imports = [
        node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    return [alias.asname or alias.name for node in imports if node.module for alias in node.names]


def write_pages() -> None:
    """Write a page per public name, and their index, into the folder that git ignores."""
    PAGES.mkdir(exist_ok=True)
    for page in PAGES.glob("*.rst"):
        page.unlink()
    index = ["API", "===", ""]
    documented: set[str] = set()
    for room, title in ROOMS.items():
        names = public_names(SOURCE / room.replace(".", "/") / "__init__.pyi")
        module = ".".join(filter(None, (project, room)))
        # A name of two rooms has one page, that of the package.
        pages = {name: f"{module}.{name}" for name in names if name not in documented}
        documented |= pages.keys()
        index += [title, "-" * len(title), "", ".. toctree::", "   :maxdepth: 1", ""]
        index += [f"   {name} <{path}>" for name, path in sorted(pages.items())] + [""]
        for name, path in pages.items():
            kind = (
                "autodata"
                if name.isupper()
                else "autoclass"
                if name[0].isupper()
                else "autofunction"
            )
            text = (
                f"{name}\n{'=' * len(name)}\n\n.. currentmodule:: {module}\n\n.. {kind}:: {name}\n"
            )
            (PAGES / f"{path}.rst").write_text(text)
    (PAGES / "index.rst").write_text("\n".join(index))


write_pages()
