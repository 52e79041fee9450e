from pathlib import Path

import pytest

from fdkd_lightning.files import read_file
from fdkd_lightning.files.read_file import csv_rows, read_json, read_text


def test_a_byte_order_mark_is_dropped_and_line_ends_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffä\r\nb\u2028c\n".encode())
    assert read_text(path) == "ä\r\nb\u2028c\n"
    assert read_text(path, unix_lines=True) == "ä\nb\u2028c\n"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_another_encoding_is_named_with_its_line(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(mark.encode() + "eins\nzwölf\n".encode() + "fünf".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.txt, line 3: byte 0xfc is not UTF-8: save"):
        read_text(path)


def test_rows_have_the_line_at_which_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\r\n\r\n"x\ny",2\rz\xe2\x80\xa8,3')
    assert list(csv_rows(path)) == [(1, ["a", "b"]), (3, ["x\ny", "2"]), (5, ["z\u2028", "3"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a\nb,"c\n' + 140_000 * "x", "line 2: a cell has more than 131,072 characters"),
        ('a\nb,"c\nd', "line 2: unexpected end of data: correct the quotation marks"),
        ('a\n"b"c', "line 2: ',' expected after"),
    ],
)
def test_a_cell_without_an_end_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        list(csv_rows(path))
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.json is empty: delete it"),
        ("\0\0\0", "a.json is empty: delete it"),
        ('{"a": 1,\n"b', "a.json, line 2 is damaged"),
        ("[1]", "a.json must hold a mapping, not a list"),
        (100_000 * "[", r"is damaged \(too deeply nested\)"),
        ('{"a": ' + 5000 * "9" + "}", "is damaged"),
    ],
)
def test_a_torn_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, null]}')
    assert read_json(path) == {"a": [1, None]}


def test_a_missing_or_a_huge_json_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    for missing in (path, tmp_path):
        with pytest.raises(FileNotFoundError, match=r" does not exist: write it again"):
            read_json(missing, "write it again")
    path.write_text('{"a": 12345}')
    monkeypatch.setattr(read_file, "LARGEST_JSON", 10)
    with pytest.raises(ValueError, match=r"a\.json has 12 bytes, and 10 are allowed: write it"):
        read_json(path, "write it again")
