"""Bad tables, lists, class names, splits and roots, drawn from a seed.

Each case damages one thing of valid data and states what the outcome has to be. Long run:
``FDKD_FUZZ_CASES=300``.
"""

import os
import random
import time
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fdkd_lightning.data.manifest import PairedManifest
from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import ImageRecipe, TextRecipe
from fdkd_lightning.data.sets.ave import AVE
from fdkd_lightning.data.sets.cremad import CREMAD
from fdkd_lightning.data.sets.crisismmd import COLUMNS, CrisisMMD, CrisisMMDTweets
from fdkd_lightning.data.sets.nyudepth import NYUDepthV2
from fdkd_lightning.data.sets.vggsound import VGGSound

CASES = int(os.environ.get("FDKD_FUZZ_CASES", "24"))
SECONDS = 20
"""Longer than this is counted as hung."""

FAULTS = (
    *("id", "split", "cells", "column", "doubled", "latin", "quote", "huge", "utf16", "empty"),
    *("header", "missing", "number", "spaces", "near", "none", "minus", "start", "names"),
    *("group", "nul", "twice", "suffix", "folder", "absent", "leaves", "bom", "crlf"),
)
EMOTIONS, SPLITS = ("NEU", "HAP"), ("train", "test")

OURS = (ValueError, FileNotFoundError, PermissionError, RuntimeError)


class Case(NamedTuple):
    """A damaged data set, and what is right for it.

    Args:
        name: What is damaged.
        run: Reads the data set and returns a result.
        named: Parts of which the message of an error or a warning must hold one.
        meaning: The right result, if the input has one.
    """

    name: str
    run: Callable[[], Any]
    named: Sequence[str] = ()
    meaning: Any = None


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def labels(data: PairedDataModule) -> list[Any]:
    """The classes, and the class of each sample; None: it has none."""
    index = {name: k for k, name in enumerate(data.class_names)}
    return [data.class_names, [index.get(sample.label) for sample in data.samples]]


def table(root: Path, rng: random.Random) -> Case:
    """A table of texts, with one fault."""
    words = ["owl", "wren", "tit"]
    rows = [[f"s{i}", ("train", "val", "test")[i % 3], words[i // 3 % 3], "so"] for i in range(12)]
    header = ["id", "split", "label", "text"]
    at = rng.randrange(12)
    line = at + 2
    path, named, meaning = root / "t.csv", [f"t.csv, line {line}"], None
    expected = [sorted(words), [sorted(words).index(row[2]) for row in rows]]
    arguments: dict[str, Any] = {}
    kind = rng.choice(FAULTS)
    if kind == "id":
        rows[at][0] = rng.choice(["", rows[at - 1][0]])
        named = ["t.csv, line "]
    elif kind == "split":
        rows[at][1] = rng.choice(["", "dev", "Train", "0", "train,val", "trian", "\u200btrain"])
        rows[at][1] = f'"{rows[at][1]}"'
    elif kind == "cells":
        rows[at] = rng.choice([rows[at][:3], [*rows[at], "more"], ["x"]])
    elif kind == "column":
        header[rng.randrange(4)] = rng.choice(["", "LABEL", "label ", "x"])
        named = ["line 1: no column", "line 1: two columns"]
    elif kind == "doubled":
        header.append(rng.choice(header))
        rows = [[*row, ""] for row in rows]
        named = ["line 1: two columns"]
    elif kind == "names":
        arguments["class_names"] = rng.choice(
            [["owl", "wren"], ["Owl", "wren", "tit"], ["owl"] * 2]
        )
        named = ["classes", "class_names="]
    elif kind == "missing":
        # A pandas table with missing labels.
        none = rng.choice(["", "nan", "NaN", "<NA>", "-100", " ", "-100.0"])
        rows[at][2] = none
        meaning = [tuple(expected[0]), [*expected[1][:at], None, *expected[1][at + 1 :]]]
    elif kind == "minus":
        rows[at][2] = rng.choice(["-1", "-1.0"])
        named = ["label -1"]
    elif kind == "number":
        numbers = [float(i % 11) for i in range(12)]
        spell = rng.choice([str, lambda x: f"{x:.0f}", lambda x: f" {x} ", lambda x: f"{x:+.2f}"])
        for row, number in zip(rows, numbers, strict=True):
            row[2] = spell(number)
        meaning = [tuple(map(str, range(11))), [i % 11 for i in range(12)]]
    elif kind == "spaces":
        rows[at][2] = rng.choice([f" {rows[at][2]}", f"{rows[at][2]}\t", f"{rows[at][2]}\u00a0"])
        rows[at][1] += " "
        meaning = [tuple(expected[0]), expected[1]]
    elif kind == "near":
        name = "caf\u00e9 owl"
        near = [name.upper(), "caf\u00e9_owl", "caf\u00e9  owl", unicodedata.normalize("NFD", name)]
        rows[at][2], rows[at - 1][2] = name, rng.choice(near)
        named = ["differ only in case, spacing"]
    elif kind == "none":
        rows[at][2] = rng.choice(["None", "null", "N/A", "?", "unlabeled"])
        named = ["leave the cell empty"]
    elif kind == "start":
        header.append(rng.choice(["start", "duration"]))
        rows = [[*row, ""] for row in rows]
        rows[at][-1] = rng.choice(["x", "inf", "1:30", "1,5", "nan", "--1"])
        rows[at][-1] = f'"{rows[at][-1]}"'
    elif kind == "group":
        header.append("speaker")
        rows = [[*row, "a"] for row in rows if row[1] != "val"]
        at = rng.randrange(len(rows))
        rows[at][1], rows[at][-1] = "train", rng.choice(["", "nan", " "])
        arguments |= {"group": "speaker", "val_fraction": 0.5}
        named = [f"t.csv, line {at + 2}"]
    text = "\n".join(",".join(row) for row in [header, *rows])
    content: str | bytes = text
    if kind == "latin":
        content = text.encode().replace(rows[at][0].encode() + b",", b"\xe9,", 1)
    elif kind == "quote":
        content = text.replace(f"\ns{at},", f'\n"s{at},', 1)
    elif kind == "huge":
        content = text.replace(f"\ns{at},", f"\n{'s' * 200_000},", 1)
    elif kind == "utf16":
        content, named = text.encode("utf-16"), ["t.csv, line 1"]
    elif kind == "empty":
        content, named = rng.choice([b"", b"\n\n", b"\xef\xbb\xbf"]), ["no column"]
    elif kind == "header":
        content, named = ",".join(header), ["has no samples"]
    elif kind == "nul":
        content = text.replace(f"\ns{at},train", f"\ns{at},tr\0ain").replace(
            f"\ns{at},val", f"\ns{at},v\0al"
        )
        content = content.replace(f"\ns{at},test", f"\ns{at},te\0st")
    elif kind == "twice":
        content, named = f"{text}\n{text}", ["line 14: split 'split'", "line 15: id", "line 14"]
    elif kind in ("bom", "crlf"):
        content = f"\ufeff{text}" if kind == "bom" else text.replace("\n", "\r\n")
        meaning = [tuple(expected[0]), expected[1]]
    write(path, content)
    name = "t.csv"
    if kind == "suffix":
        name, named = rng.choice(["t.xlsx", "t.txt", "t"]), ["the table must be"]
        path.rename(root / name)
    elif kind == "folder":
        name, named = rng.choice([".", "", "sub"]), ["correct table"]
        (root / "sub").mkdir()
    elif kind == "absent":
        name, named = "other.csv", ["other.csv is missing"]
    elif kind == "leaves":
        name, named = rng.choice(["../t.csv", "/etc/passwd", "a/../../t.csv"]), ["leaves root="]

    def run() -> Any:
        return labels(PairedManifest(root, name, {"text": TextRecipe()}, **arguments))

    return Case(f"table: {kind}", run, named, meaning)


def file_list(root: Path, rng: random.Random) -> Case:
    """A list of a published data set, with one fault."""
    kind: Callable[..., PairedDataModule]
    set_name = rng.choice(["cremad", "ave", "vggsound", "crisismmd", "sagate", "tokenfusion"])
    arguments: dict[str, Any] = {}
    if set_name == "cremad":
        kind, names = CREMAD, ["train.csv", "test.csv"]
        lines = [f"{1001 + i}_IEO_{EMOTIONS[i % 2]}_XX,{EMOTIONS[i % 2]}" for i in range(12)]
    elif set_name == "ave":
        kind, names = AVE, ["trainSet.txt", "valSet.txt", "testSet.txt"]
        lines = [f"Bus&video{i}&good&0&10" for i in range(12)]
    elif set_name == "vggsound":
        kind, names = VGGSound, ["vggsound.csv"]
        lines = [f"video{i:06d},{i},dog,{SPLITS[i % 2]}" for i in range(12)]
    elif set_name == "crisismmd":
        kind = rng.choice([CrisisMMD, CrisisMMDTweets])
        agreed = kind is CrisisMMD
        folder = f"crisismmd_datasplit_{'agreed_label' if agreed else 'all'}"
        stem = f"task_humanitarian_text_img_{'agreed_lab_' if agreed else ''}"
        names = [f"{folder}/{stem}{split}.tsv" for split in ("train", "dev", "test")]
        label = "not_humanitarian"
        lines = [
            f"e\t{i}\t{i}_0\tso\ta/{i}.jpg\t{label}\t{label}\t{label}\tPositive" for i in range(12)
        ]
        arguments["transforms"] = {}
        arguments["modalities"] = ["visual"]
    else:
        kind, names = NYUDepthV2, ["train.txt", f"{'test' if set_name == 'sagate' else 'val'}.txt"]
        arguments["modalities"] = ["visual"]
        (root / "RGB").mkdir()
        if set_name == "sagate":
            (root / "Label").mkdir()
            lines = [f"RGB/{i}.jpg\tLabel/{i}.png" for i in range(12)]
        else:
            lines = [f"rgb/{i}.png\tmasks/{i}.png\tdepth/{i}.png" for i in range(12)]
    parts = [lines[i :: len(names)] for i in range(len(names))]
    chosen = rng.randrange(len(names))
    part = parts[chosen]
    at = rng.randrange(len(part))
    header = 1 if set_name == "crisismmd" else 0
    named = [f"{names[chosen]}, line {at + 1 + header}"]
    fault = rng.choice(["latin", "junk", "absent", "double", "deeper", "higher", "leaves", "link"])
    if fault == "junk":
        separators = {"cremad": ",", "ave": "&", "vggsound": ",", "crisismmd": "\t"}
        junk = [
            "a",
            "a b c d e f",
            "{}",
            "1;2;3",
            "x" + separators.get(set_name, "\t") * 20,
            "\0,\0",
        ]
        part[at] = rng.choice(junk)
        if set_name == "sagate":
            part[at] = rng.choice(["RGB/1.jpg\tLabel/2.png", "a b c", "1 2"])
        named = [f"{names[chosen]}, line "]
    elif fault == "double" and set_name not in ("ave", "vggsound"):
        part.append(part[at])
        named = ["line"]
    elif fault == "double":
        # Repeated rows of these lists are known, and excluded.
        part.append(part[at])
        if set_name == "vggsound":
            part.append(part[at])
    contents = ["\n".join(p) for p in parts]
    if set_name == "crisismmd":
        contents = ["\t".join(COLUMNS) + "\n" + content for content in contents]
    for i, (name, content) in enumerate(zip(names, contents, strict=True)):
        encoded = content.encode()
        if fault == "latin" and i == chosen:
            rows = encoded.split(b"\n")
            rows[at + header] = b"\xff" + rows[at + header]
            encoded = b"\n".join(rows)
        write(root / name, encoded)
    given = root
    if fault == "absent":
        (root / names[chosen]).unlink()
        named = [f"{names[chosen]} is missing", "none of the supported layouts"]
    elif fault == "deeper":
        inner = root.with_name(f"{root.name}-outer") / "CREMA-D"
        inner.parent.mkdir()
        root.rename(inner)
        given, named = inner.parent, [f"set root to {inner}"]
    elif fault == "higher":
        given, named = root / rng.choice(["AudioWAV", "RGB", "video"]), [f"set root to {root}"]
        if rng.random() < 0.5:
            given.mkdir(exist_ok=True)
    elif fault == "leaves":
        given, named = root.with_name("absent") / "deep", ["absent"]
    elif fault == "link":
        outside = root.with_name(f"{root.name}-outside")
        (root / names[chosen]).rename(outside)
        (root / names[chosen]).symlink_to(outside)
        named = ["follow_links"]

    def run() -> Any:
        data = kind(given, **arguments)
        return [len(data.samples), sum(not sample.fault for sample in data.samples)]

    repeated = {"ave": [13, 12], "vggsound": [14, 12]}
    meaning = repeated.get(set_name) if fault == "double" else None
    return Case(f"{set_name}: {fault}", run, named, meaning)


def arguments_of(root: Path, rng: random.Random) -> Case:
    """Valid data and an argument without a meaning."""
    rows = [f"s{i},{('train', 'val', 'test')[i % 3]},owl,s{i}.jpg" for i in range(12)]
    write(root / "t.csv", "\n".join(["id,split,label,visual", *rows]))
    values: dict[str, list[Any]] = {
        "modalities": [[], ["audio"], "visual", ["visual", "x"]],
        "optional_modalities": [["audio"], ["x"]],
        "min_coverage": [-0.1, 1.5, float("nan")],
        "prepare_workers": [-1, -0.5],
        "compare": ["hash", ""],
        "val_fraction": [0.0, 1.0, -1, float("nan"), 0.5],
        "labelled": [0, -3],
        "batch_size": [0, -1],
        "num_workers": [-1],
        "split_seed": [-1],
        "views": [{"visual": "visual"}, {"x": "audio"}],
        "recipes": [{}, {"label": ImageRecipe()}, {"two words": ImageRecipe()}],
        "class_names": [["owl", "owl"], "owl", ["wren"]],
        "group": ["absent"],
        "lists": [root / "absent", root / "t.csv"],
        "table": ["", "..", "t.csv\0"],
    }
    argument = rng.choice([*values])
    value = rng.choice(values[argument])
    given: dict[str, Any] = {"table": "t.csv", "recipes": {"visual": ImageRecipe()}}
    given |= {argument: value}
    named = {"lists": ["lists"], "table": ["table", "leaves"], "class_names": ["class"]}

    def run() -> Any:
        return len(PairedManifest(root, **given).samples)

    return Case(f"argument {argument}={value!r}", run, named.get(argument, [argument, str(value)]))


def outcome(case: Case) -> str:
    """Class of what happens: rejected, warned, meaningful; or silent, obscure, hung."""
    begin = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = case.run()
        except OURS as error:
            if case.meaning is not None:
                return f"obscure: refused, though it has a meaning: {error}"
            named = any(text in str(error) for text in case.named)
            return "rejected" if named else f"obscure: {type(error).__name__}: {error}"
        except Exception as error:
            return f"obscure: {type(error).__name__}: {error}"
    if time.monotonic() - begin > SECONDS:
        return "hung"
    if case.meaning is not None:
        return "meaningful" if result == case.meaning else f"silent: {result}, not {case.meaning}"
    if any(text in str(warning.message) for warning in caught for text in case.named):
        return "warned"
    return f"silent: {result}"


@pytest.mark.parametrize("part", range(3))
def test_bad_tables_are_refused_by_name_or_mean_something(tmp_path: Path, part: int) -> None:
    found: dict[str, int] = {}
    wrong = []
    for seed in range(part, CASES, 3):
        rng = random.Random(seed)
        make = (table, table, file_list, file_list, arguments_of)[seed % 5]
        root = tmp_path / str(seed) / "root"
        root.mkdir(parents=True)
        case = make(root, rng)
        result = outcome(case)
        found[result.partition(":")[0]] = found.get(result.partition(":")[0], 0) + 1
        if result.startswith(("silent", "obscure", "hung")):
            wrong.append(f"seed {seed}, {case.name}: {result[:300]}")
    print(found)
    obscure = sum("obscure" in text for text in wrong)
    assert len(wrong) == obscure, "\n".join(wrong)
    assert obscure <= 0.02 * CASES / 3, "\n".join(wrong)
