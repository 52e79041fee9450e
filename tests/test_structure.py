from collections import Counter
from pathlib import Path

import fdkd_lightning

SOURCE = Path(fdkd_lightning.__file__).parent
TESTS = Path(__file__).parent

# These look at more than one module.
CROSS_CUTTING = {
    "test_extras.py",
    "test_configs.py",
    "test_imports.py",
    "test_matrix.py",  # networks of all libraries against each other
    "test_public_api.py",
    "test_documentation.py",
    "test_results.py",
    "test_structure.py",
    "test_sweep.py",
    "decoupler/test_ladder.py",
    "losses/test_ladder.py",
    "export/test_published.py",
    "report/test_browser.py",  # all pages
}
# These try commands and every room from outside.
CROSS_CUTTING_FOLDERS = ("fuzz", "kill")


def mirrored() -> dict[str, str]:
    """Module -> where its test file is to be, both below their folders."""
    files = (file.relative_to(SOURCE) for file in SOURCE.rglob("*.py"))
    return {
        file.as_posix(): file.with_name(f"test_{file.name}").as_posix()
        for file in files
        if file.stem not in ("__init__", "__main__")
    }


def files_of_tests() -> set[str]:
    files = (file.relative_to(TESTS) for file in TESTS.rglob("test_*.py"))
    return {file.as_posix() for file in files if file.parts[0] not in CROSS_CUTTING_FOLDERS}


def test_each_module_has_its_test_file() -> None:
    there = files_of_tests()
    assert [module for module, test in mirrored().items() if test not in there] == []


def test_each_test_file_has_its_module() -> None:
    assert files_of_tests() - CROSS_CUTTING - {*mirrored().values()} == set()


def test_the_cross_cutting_ones_mirror_no_module() -> None:
    assert not CROSS_CUTTING & {*mirrored().values()}


def test_no_two_modules_have_one_name() -> None:
    names = Counter(file.name for file in SOURCE.rglob("*.py"))
    # A contract, and a command line, in each room.
    assert {name for name, n in names.items() if n > 1} == {"__init__.py", "base.py", "command.py"}
