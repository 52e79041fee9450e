import json
from pathlib import Path

import pytest

from fdkd_lightning.ops import json_file
from fdkd_lightning.ops.json_file import read_json


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b'{"a": ', "is damaged"),
        (b'{"a": "\xff"}', "is damaged"),
        (b'{"a":' * 100_000, "is damaged"),
        (b"[1]", "must hold a mapping, not a list"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is damaged"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json {part}.*: write it again"):
        read_json(path, "write it again")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "a.json", tmp_path):
        with pytest.raises(FileNotFoundError, match=r" does not exist: write it again"):
            read_json(path, "write it again")


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "LARGEST", 10)
    (tmp_path / "a.json").write_text(json.dumps({"a": 12345}))
    with pytest.raises(ValueError, match=r"a\.json has 12 bytes, and 10 are allowed"):
        read_json(tmp_path / "a.json", "write it again")
