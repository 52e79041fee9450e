import json
import sys
from pathlib import Path

import pytest

from fdkd_lightning.ops.optional import find_package, install_command, require


def test_an_installed_module_is_returned() -> None:
    assert require("json", extra="demo", purpose="reading") is json


def test_a_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "absent", None)
    with pytest.raises(ImportError) as error:
        require("absent.part", extra="media", purpose="decoding audio")
    message = str(error.value)
    assert message.startswith("decoding audio needs the package absent: ")
    assert install_command("media") in message
    assert isinstance(error.value.__cause__, ImportError)


def test_a_package_that_is_installed_but_broken_shows_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_codec.py").write_text("import a_library_that_is_absent")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="a_library_that_is_absent"):
        require("broken_codec", extra="media", purpose="decoding audio")


def test_the_folder_of_a_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_files").mkdir()
    (tmp_path / "only_files" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_package("only_files", "earth", "reading climates") == tmp_path / "only_files"


@pytest.mark.parametrize("package", ["no_such_package", "this"])
def test_a_package_that_is_missing_or_a_module_is_reported_with_its_extra(package: str) -> None:
    with pytest.raises(ImportError) as error:
        find_package(package, "earth", "reading climates")
    assert str(error.value) == (
        f"reading climates needs the package {package}: {install_command('earth')}"
    )
