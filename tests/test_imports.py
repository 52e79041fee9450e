import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import fdkd_lightning

PACKAGE = "fdkd_lightning"
SOURCE = Path(fdkd_lightning.__file__).parent

# A room is a file or folder right below the package. Left: the room; right: those it may import.
MAY_IMPORT = {
    "types": "",
    "files": "",
    "ops": "types",
    "decoupler": "types ops",
    "losses": "types ops decoupler",
    "models": "types ops files",
    "data": "types ops files",
    "training": "types ops files losses models data",
    "benchmark": "types ops files decoupler losses models data training",
    "analysis": "types ops files decoupler",
    "study": "types ops files training",
    "export": "types ops files models data training study",
    "report": "types ops files training study analysis benchmark",
    "cli": "ops data training benchmark study export report analysis",
    "__main__": "cli",
    "__init__": "",  # public names load on first use, from __init__.pyi
}
WITHOUT_LIGHTNING = {"types", "files", "ops", "decoupler", "losses", "models", "analysis"}
# The command, a file and a folder, loads what the rest of its room takes as tensors.
LOADERS = {
    "analysis/command.py": "losses models data training",
    "analysis/loading": "losses models data training",
}
STRANGERS = ("losses", "models", "data")
LIGHTNING = {"lightning", "lightning_fabric", "pytorch_lightning"}


def module_name(file: Path, source: Path) -> str:
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join((PACKAGE, *parts)).removesuffix(".__init__")


def room(file: Path, source: Path) -> str:
    return file.relative_to(source).with_suffix("").parts[0]


def module_names(source: Path) -> set[str]:
    return {module_name(file, source) for file in source.rglob("*.py")}


def imports(file: Path, source: Path, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Line and module of each import, wherever in the file it is written."""
    name = module_name(file, source)
    parent = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), parent)
            for alias in node.names:
                part = f"{origin}.{alias.name}"
                yield node.lineno, part if part in modules and origin != PACKAGE else origin


def violations(source: Path) -> list[str]:
    found, modules = [], module_names(source)
    loaders = tuple(name.removesuffix(".py").replace("/", ".") for name in LOADERS)
    for file in sorted(source.rglob("*.py")):
        own = room(file, source)
        inside = file.relative_to(source).as_posix()
        more = next((may for name, may in LOADERS.items() if inside.startswith(name)), "")
        allowed = {own, *MAY_IMPORT.get(own, "").split(), *more.split()}
        for line, target in imports(file, source, modules):
            top, _, rest = target.partition(".")
            wrong = (
                (rest.startswith(loaders) and own != "cli" and not more)
                or rest.split(".")[0] not in allowed
                if top == PACKAGE
                else top in LIGHTNING and own in WITHOUT_LIGHTNING and not more
            )
            if wrong:
                found.append(f"{file.relative_to(source).as_posix()}:{line} imports {target}")
    return found


def cycle(source: Path) -> list[str]:
    """The modules of a circle of imports; empty where there is none."""
    modules = module_names(source)
    graph = {
        module_name(file, source): {target for _, target in imports(file, source, modules)}
        for file in source.rglob("*.py")
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def write(source: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    return source


def test_each_room_imports_only_what_it_may() -> None:
    assert violations(SOURCE) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycle(SOURCE) == []


def test_the_table_names_every_room() -> None:
    rooms = {room(file, SOURCE) for file in SOURCE.rglob("*.py")}
    assert rooms == MAY_IMPORT.keys()


def test_the_table_itself_has_no_circle_and_types_at_its_bottom() -> None:
    TopologicalSorter({own: may.split() for own, may in MAY_IMPORT.items()}).prepare()
    assert MAY_IMPORT["types"] == ""


def test_the_table_keeps_losses_models_and_data_apart() -> None:
    for own in STRANGERS:
        assert not {*STRANGERS} & {*MAY_IMPORT[own].split()}


def test_rooms_without_lightning_do_not_get_it_through_others() -> None:
    for own in WITHOUT_LIGHTNING:
        assert {*MAY_IMPORT[own].split()} <= WITHOUT_LIGHTNING


@pytest.mark.parametrize(
    ("file", "text", "violation"),
    [
        (
            "types.py",
            "from fdkd_lightning.training.rng import x",
            "types.py:1 imports fdkd_lightning.training.rng",
        ),
        ("losses/a.py", "import fdkd_lightning.data", "losses/a.py:1 imports fdkd_lightning.data"),
        ("data/a.py", "from ..models import x", "data/a.py:1 imports fdkd_lightning.models"),
        ("data/__init__.py", "from . import a, b", None),
        ("rng.py", "from .types import x", "rng.py:1 imports fdkd_lightning.types"),
        (
            "decoupler/a.py",
            "import lightning.pytorch",
            "decoupler/a.py:1 imports lightning.pytorch",
        ),
        ("models/a.py", "from lightning import x", "models/a.py:1 imports lightning"),
        ("analysis/a.py", "import lightning", "analysis/a.py:1 imports lightning"),
        ("analysis/command.py", "import lightning", None),
        ("analysis/command.py", "from fdkd_lightning.training.rng import x", None),
        (
            "analysis/a.py",
            "from fdkd_lightning.analysis.command import x",
            "analysis/a.py:1 imports fdkd_lightning.analysis.command",
        ),
        ("analysis/loading/a.py", "from fdkd_lightning.data import x", None),
        ("analysis/loading/a.py", "from fdkd_lightning.analysis.command import x", None),
        (
            "analysis/a.py",
            "from fdkd_lightning.analysis.loading.b import x",
            "analysis/a.py:1 imports fdkd_lightning.analysis.loading.b",
        ),
        ("probe.py", "from lightning import x", None),
        ("cli.py", "from fdkd_lightning import x", "cli.py:1 imports fdkd_lightning"),
        ("cli.py", "from fdkd_lightning import data", "cli.py:1 imports fdkd_lightning"),
        ("cli.py", "def f():\n    import fdkd_lightning", "cli.py:2 imports fdkd_lightning"),
        ("cli.py", '"""\n>>> from fdkd_lightning import x\n"""', None),
        ("unheard_of.py", "import torch", None),
        (
            "unheard_of.py",
            "import fdkd_lightning.types",
            "unheard_of.py:1 imports fdkd_lightning.types",
        ),
    ],
)
def test_a_violation_names_file_line_and_import(
    tmp_path: Path, file: str, text: str, violation: str | None
) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path, {"data/__init__.py": "", file: text})
    assert violations(tmp_path) == ([] if violation is None else [violation])


def test_a_circle_within_a_room_is_found(tmp_path: Path) -> None:
    files = {
        "data/__init__.py": "from fdkd_lightning.data.a import x",
        "data/a.py": "from fdkd_lightning.data import b",
        "data/b.py": "",
    }
    assert cycle(write(tmp_path, files)) == []
    files["data/b.py"] = "from fdkd_lightning.data import x"
    assert {*cycle(write(tmp_path, files))} == {
        "fdkd_lightning.data",
        "fdkd_lightning.data.a",
        "fdkd_lightning.data.b",
    }
