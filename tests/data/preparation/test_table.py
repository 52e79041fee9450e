from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.paths import leaves, within
from fdkd_lightning.data.preparation.sample import Sample, check_samples, classes_of
from fdkd_lightning.data.preparation.table import read_table
from fdkd_lightning.data.preparation.validation_split import draw_validation

HEADER = "id,split,label,audio,text\n"


def table(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sample(number: int, split: str = "train", label: str = "a", group: str = "") -> Sample:
    sources = {"audio": f"{number}.wav"}
    return Sample(str(number), split, label, sources, group=group, where=f"t.csv, line {number}")


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
    with pytest.raises(ValueError, match=rf"pairs.csv, line 2: start '{number}' is no number"):
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
        ("id,split,label,text\n", "line 1: no column 'audio'; it has: id, split, label, text"),
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
    with pytest.raises(ValueError, match=r"pairs.csv, line .*utf-8"):
        read_table(tmp_path / "pairs.csv", ["audio"])


def test_a_missing_group_or_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'speaker'"):
        read_table(table(tmp_path, HEADER), ["audio"], group="speaker")
    with pytest.raises(FileNotFoundError, match=r"absent.csv is not there: give root and table"):
        read_table(tmp_path / "absent.csv", ["audio"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "t.csv, line 9: the id is empty"),
        ({"id": "1"}, "t.csv, line 9: id '1' is that of t.csv, line 1 too"),
        ({"split": "dev"}, "t.csv, line 9: split 'dev' is none of train, val, test"),
        ({"label": "emu"}, r"t.csv, line 9: label 'emu' is none of the 2 classes \(a, b\)"),
        ({"sources": {"audio": "../x.wav"}}, r"t.csv, line 9: audio '\.\./x.wav' leaves the root"),
        ({"sources": {"audio": "/etc/x.wav"}}, "t.csv, line 9: audio '/etc/x.wav' leaves"),
    ],
)
def test_a_sample_that_is_not_to_be_trusted_is_named(
    changes: dict[str, object], message: str
) -> None:
    samples = [sample(1), sample(9)._replace(**changes)]
    with pytest.raises(ValueError, match=message):
        check_samples(samples, ["a", "b"], ["audio"])


def test_samples_without_label_or_file_and_texts_of_any_kind_are_fine() -> None:
    samples = [sample(1, label=""), Sample("2", "val", "a", {"text": "../so"}), sample(3)]
    check_samples(samples, ["a"], ["audio"])


@pytest.mark.parametrize(
    ("path", "leaving"),
    [
        ("a.wav", False),
        ("a/b..c/d.wav", False),
        ("./a.wav", False),
        ("..", True),
        ("a/../b.wav", True),
        ("a/../../b.wav", True),
        ("/a.wav", True),
        ("C:\\a.wav", True),
        ("\\\\host\\a.wav", True),
        ("a\\..\\..\\b.wav", True),
        ("a\0.wav", True),
    ],
)
def test_a_path_that_may_leave_its_folder(path: str, leaving: bool) -> None:
    assert leaves(path) == leaving


def test_classes_are_sorted_as_numbers_where_they_are() -> None:
    def names(*labels: str) -> tuple[str, ...]:
        return classes_of(sample(i, label=label) for i, label in enumerate(labels))

    assert names("10", "9", "", "10") == ("9", "10")
    assert names("10", "9", "b", "a") == ("10", "9", "a", "b")
    assert names("") == ()


def drawn(samples: list[Sample], fraction: float, seed: int = 0) -> set[str]:
    moved = draw_validation(samples, fraction, seed)
    assert [s._replace(split="") for s in moved] == [s._replace(split="") for s in samples]
    return {s.id for s in moved if s.split == "val"}


def test_a_part_of_each_class_is_drawn_whatever_the_order() -> None:
    samples = [sample(i, label="aab"[i % 3]) for i in range(60)] + [sample(60, "test")]
    val = drawn(samples, 0.1)
    labels = [s.label for s in samples if s.id in val]
    assert (labels.count("a"), labels.count("b")) == (4, 2)
    assert drawn(samples[::-1], 0.1) == val != drawn(samples, 0.1, seed=1)
    assert "60" not in val
    # Another sample takes a place, or not: the others' lots stay.
    assert len(val - drawn([*samples, sample(61)], 0.1)) <= 1


def test_whole_groups_are_drawn() -> None:
    samples = [sample(i, label="ab"[i % 2], group=f"g{i // 5}") for i in range(100)]
    val = drawn(samples, 0.2)
    assert len(val) == 20
    groups = {s.group for s in samples if s.id in val}
    assert not groups & {s.group for s in samples if s.id not in val}
    assert drawn(samples, 0.21) > val


def test_a_part_that_is_nothing_or_all_is_refused() -> None:
    samples = [sample(i) for i in range(4)]
    for fraction, count in ((0.1, 0), (0.9, 4)):
        with pytest.raises(ValueError, match=rf"val_fraction={fraction} draws {count} of 4"):
            draw_validation(samples, fraction, 0)
    with pytest.raises(ValueError, match="draws 4 of 4"):
        draw_validation([sample(i, group="g") for i in range(4)], 0.5, 0)
    with pytest.raises(ValueError, match="draws 0 of 0"):
        draw_validation([sample(1, "test")], 0.5, 0)


def test_a_sample_without_group_among_others_is_named() -> None:
    with pytest.raises(ValueError, match=r"t.csv, line 2: the group is empty"):
        draw_validation([sample(1, group="g"), sample(2)], 0.5, 0)


def test_a_list_lies_below_the_root_and_is_no_link_to_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "list.csv").touch()
    (root / "linked.csv").symlink_to(tmp_path / "list.csv")
    for name in ("../list.csv", str(tmp_path / "list.csv"), "linked.csv"):
        with pytest.raises(ValueError, match="leaves root="):
            within(root, name)
    # A root that is a link itself, and links within it, are followed.
    (root / "own.csv").touch()
    (root / "again.csv").symlink_to(root / "own.csv")
    (tmp_path / "alias").symlink_to(root)
    for name in ("own.csv", "again.csv", "not/there.csv"):
        assert within(tmp_path / "alias", name) == tmp_path / "alias" / name
