from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.table import read_table

HEADER = "id,split,label,audio,text\n"


def table(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "x,train,owl,a/b.wav,so\ny,test,,,\n")
    first, second = read_table(path, ["audio", "text"])
    assert first == Sample(
        "x", "train", "owl", {"audio": "a/b.wav", "text": "so"}, where=f"{path}, line 2"
    )
    assert second == Sample("y", "test", "", {}, where=f"{path}, line 3")


def test_only_the_wanted_columns_are_taken(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "x,train,owl,a.wav,so\n")
    assert read_table(path, ["text"])[0].sources == {"text": "so"}


def test_segments_and_groups(tmp_path: Path) -> None:
    header = "speaker,id,split,label,audio,start,duration\n"
    path = table(tmp_path, header + "ann,x,train,owl,a.wav,1.5,2\nbob,y,train,owl,b.wav,,\n")
    first, second = read_table(path, ["audio"], group="speaker")
    assert (first.group, first.start, first.duration) == ("ann", 1.5, 2.0)
    assert (second.group, second.start, second.duration) == ("bob", None, None)


@pytest.mark.parametrize("number", ["soon", "nan", "inf"])
def test_a_segment_that_is_no_number_is_named(tmp_path: Path, number: str) -> None:
    path = table(tmp_path, f"id,split,label,audio,start\nx,train,owl,a.wav,{number}\n")
    with pytest.raises(ValueError, match=rf"pairs.csv, line 2: start '{number}' is not a number"):
        read_table(path, ["audio"])


def test_quotes_a_byte_order_mark_and_empty_lines(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER + '\nx,train,owl,"a,b.wav","two\nlines"\n\ny,train,owl,c.wav,so\n'
    first, second = read_table(table(tmp_path, text), ["audio", "text"])
    assert first.sources == {"audio": "a,b.wav", "text": "two\nlines"}
    assert first.where.endswith("line 3")
    assert second.where.endswith("line 6")


def test_tabs_separate_in_a_tsv(tmp_path: Path) -> None:
    text = "id\tsplit\tlabel\taudio\nx\ttrain\towl\ta,b.wav\n"
    assert (
        read_table(table(tmp_path, text, "pairs.tsv"), ["audio"])[0].sources["audio"] == "a,b.wav"
    )


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "id": [1, 2],
        "split": ["train", "test"],
        "label": ["owl", None],
        "audio": ["a.wav", None],
        "start": [0.5, None],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "pairs.parquet")
    first, second = read_table(tmp_path / "pairs.parquet", ["audio"])
    where = f"{tmp_path / 'pairs.parquet'}, line "
    assert first == Sample("1", "train", "owl", {"audio": "a.wav"}, 0.5, where=where + "2")
    assert second == Sample("2", "test", "", {}, where=where + "3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column 'id'"),
        (
            "id,split,label,text\n",
            "line 1: no column 'audio'; the columns are: id, split, label, text",
        ),
        ("id,split,label,audio,text,id\n", "line 1: two columns 'id'"),
        (HEADER + "x,train,owl,a.wav\n", "line 2: 4 cells for 5 columns: 'x,train,owl,a.wav'"),
        (HEADER + "x,train,owl,a.wav,so\ny,train,owl,a.wav,so,so\n", "line 3: 6 cells for 5"),
        (HEADER + 'x,train,owl,a.wav,"so\n', "line 2: unexpected end of data"),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"pairs.csv, {message}"):
        read_table(table(tmp_path, text), ["audio", "text"])


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_bytes(HEADER.encode() + b"x,train,\xff,a.wav,so\n")
    with pytest.raises(ValueError, match=r"pairs.csv, line 2: byte 0xff is not UTF-8"):
        read_table(tmp_path / "pairs.csv", ["audio"])


def test_a_missing_group_or_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'speaker'"):
        read_table(table(tmp_path, HEADER), ["audio"], group="speaker")
    with pytest.raises(
        FileNotFoundError, match=r"absent.csv does not exist: correct table, lists or root"
    ):
        read_table(tmp_path / "absent.csv", ["audio"])


def test_missing_values_of_pandas_are_no_paths_groups_or_numbers(tmp_path: Path) -> None:
    nan = float("nan")
    columns = {
        "id": ["a", "b"],
        "split": ["train ", "train"],
        "label": [10.0, nan],
        "audio": [None, "b.wav"],
        "start": [nan, 1.5],
        "speaker": [" p", None],
    }
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    first, second = read_table(tmp_path / "a.parquet", ["audio"], "speaker")
    assert (first.split, first.label, first.sources, first.start) == ("train", "10.0", {}, None)
    assert (first.group, second.group) == ("p", "")
    assert (second.label, second.sources, second.start) == ("", {"audio": "b.wav"}, 1.5)
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a\.parquet is not a complete Parquet file"):
        read_table(tmp_path / "a.parquet", ["audio"])


def test_a_path_that_reads_nan_is_said(tmp_path: Path) -> None:
    text = f"{HEADER}x,train,a,nan,so\ny,train,a,NaN,so\n"
    with pytest.warns(UserWarning, match=r"pairs.csv, line 2: audio is 'nan' in 2 rows"):
        read_table(table(tmp_path, text), ["audio"])


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pairs.xlsx: the table must be a file .csv, .tsv or"):
        read_table(table(tmp_path, HEADER, "pairs.xlsx"), ["audio"])
