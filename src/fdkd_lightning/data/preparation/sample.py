"""Samples of a data set before decoding, and checks that open none of their files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import PurePath
from types import MappingProxyType
from typing import NamedTuple

from fdkd_lightning.data.preparation.paths import leaves_folder

SPLITS = ("train", "val", "test")

LABEL_MAP = "label_map"
"""Source of the label map of a sample, in data sets with a class for each pixel."""

MISSING = ("", "nan", "<na>")
"""Cells, in any case, that mean "none": what pandas writes for a missing value."""

NUMBER = re.compile(r"[+-]?(\d{1,12}\.?\d{0,12}|\.\d{1,12})([eE][+-]?\d{1,2})?", re.ASCII)


class Sample(NamedTuple):
    """A sample before decoding.

    Args:
        id: Identifier, unique within the data set.
        split: ``"train"``, ``"val"`` or ``"test"``.
        label: Name of the class; empty if there is none.
        sources: Modality -> path relative to the root, or text. Modalities that the sample does not
            have are left out.
        start: Start of the segment to decode, seconds; None: start of the file.
        duration: Length of the segment to decode, seconds; None: to the end of the file.
        group: Samples of one group, such as a speaker, stay in one split; empty if there is none.
        where: File and line of the sample, for error messages.
        members: Modality -> name of the sample within its file, if the file holds many samples.
        fault: Why the data set itself rules the sample out; empty if it does not.
        cut: Modalities whose files hold the segment alone: ``start`` and ``duration`` do not apply.

    Example:
        >>> Sample("owl1", "train", "owl", {"audio": "owl/1.wav"}, start=2.5).sources
        {'audio': 'owl/1.wav'}
    """

    id: str
    split: str
    label: str
    sources: Mapping[str, str]
    start: float | None = None
    duration: float | None = None
    group: str = ""
    where: str = ""
    members: Mapping[str, str] = MappingProxyType({})
    fault: str = ""
    cut: Sequence[str] = ()


def check_samples(
    samples: Iterable[Sample], class_names: Sequence[str], media: Sequence[str]
) -> None:
    """Check ids, splits, labels and, for the modalities in ``media``, paths of all samples.

    Raises:
        ValueError: At the first invalid sample, with its file, line and value.

    Example:
        >>> check_samples([Sample("a", "dev", "owl", {}, where="t.csv, line 2")], ["owl"], [])
        Traceback (most recent call last):
        ValueError: t.csv, line 2: split 'dev' is none of train, val, test
    """
    seen: dict[str, str] = {}
    classes = {"", *class_names}
    for sample in samples:
        if not sample.id:
            raise ValueError(f"{sample.where}: the id is empty")
        if sample.id in seen:
            raise ValueError(
                f"{sample.where}: id {sample.id!r} is that of {seen[sample.id]} too: "
                "remove one of the two samples, or change its id"
            )
        seen[sample.id] = sample.where
        if sample.split not in SPLITS:
            raise ValueError(
                f"{sample.where}: split {sample.split!r} is none of {', '.join(SPLITS)}"
            )
        if sample.label not in classes:
            names = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
            near = get_close_matches(sample.label, class_names, n=1)
            raise ValueError(
                f"{sample.where}: label {sample.label[:80]!r} is none of the {len(class_names)} "
                f"classes ({names}): correct it" + (f", for example to {near[0]!r}" if near else "")
            )
        for modality in media:
            path = sample.sources.get(modality, "")
            if leaves_folder(path):
                raise ValueError(
                    f"{sample.where}: {modality} {path!r} leaves the root: paths must be "
                    "relative to it, without '..'"
                )


def with_own_ids(samples: Iterable[Sample]) -> list[Sample]:
    """Append file and line to the ids of repeated rows, which have a fault.

    Example:
        >>> row = Sample("a", "train", "", {}, where="lists/t.csv, line 2")
        >>> [sample.id for sample in with_own_ids([row, row])]
        ['a', 'a, t.csv, line 2']
    """
    found: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in found:
            sample = sample._replace(id=f"{sample.id}, {PurePath(sample.where).name}")
        found[sample.id] = sample
    return list(found.values())


def classes_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return the labels that occur, in numerical order if all are numbers, else alphabetical.

    Example:
        >>> classes_of(Sample("", "", label, {}) for label in ("10", "9", "", "10"))
        ('9', '10')
    """
    names = {sample.label for sample in samples} - {""}
    numbers = {name: number_of(name) for name in names}
    if None in numbers.values():
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name] or Decimal(), name)))


def number_of(label: str) -> Decimal | None:
    """Return the number that a label is, exactly; None if it is none.

    Example:
        >>> number_of("10.0") == number_of("10"), number_of("ten")
        (True, None)
    """
    return Decimal(label) if NUMBER.fullmatch(label) else None


def is_missing(cell: str) -> bool:
    """Return whether a cell of a table means that there is no value: empty, ``nan`` or ``<NA>``.

    Example:
        >>> is_missing(" NaN "), is_missing("naan")
        (True, False)
    """
    return cell.strip().lower() in MISSING
