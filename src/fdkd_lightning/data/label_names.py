"""Read the labels of tables: missing ones, numbers, spaces, and names that are nearly equal."""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from fdkd_lightning.data.preparation.sample import Sample, is_missing, number_of

NO_CLASS = (-1, -100)
"""Numbers that mean "no label", unless they are named as classes."""

SUSPICIOUS = ("none", "null", "na", "n/a", "#n/a", "?", "-", "unlabeled", "unlabelled")
"""Labels, in any case, that are classes but may have been meant as "no label"."""


def clean_labels(
    samples: Sequence[Sample], class_names: Sequence[str] | None = None
) -> list[Sample]:
    """Return the samples with clean labels, and warn of what looks like a mistake.

    White space at the ends is removed. Empty cells, ``nan``, ``<NA>``, -100 and -1 mean that there
    is no label. If all labels are numbers, equal numbers are one class: 10, 10.0 and 1e1. With
    ``class_names`` a label that is one of them, or the same number, always stays a class.

    Warns:
        UserWarning: If -1 was read as "no label", two classes differ only in case, spacing or
            Unicode form, or a class is called "none" or the like.

    Example:
        >>> samples = [Sample("", "", label, {}) for label in ("10.0", "9", "-100", " 10 ", "nan")]
        >>> [sample.label for sample in clean_labels(samples)]
        ['10', '9', '', '10', '']
    """
    found = {sample.label for sample in samples}
    given = dict.fromkeys(class_names or ())
    named = {number: name for name in given if (number := number_of(name)) is not None}
    clean = {label: _clean(label, given, named) for label in found}
    if class_names is None and all(
        number_of(label) is not None for label in clean.values() if label
    ):
        clean = {label: _spell(name) if name else "" for label, name in clean.items()}
    minus_one = sum(not clean[s.label] and number_of(s.label.strip()) == -1 for s in samples)
    if minus_one:
        _warn(
            f"{minus_one:,} samples have the label -1, which means that there is none; if it is a "
            "class, name all classes in class_names"
        )
    names = class_names if class_names is not None else sorted({*clean.values()} - {""})
    _warn_of_names(names)
    return [
        sample
        if clean[sample.label] == sample.label
        else sample._replace(label=clean[sample.label])
        for sample in samples
    ]


def _clean(label: str, given: dict[str, None], named: dict[Decimal, str]) -> str:
    if label in given:
        return label
    text = label.strip()
    number = number_of(text)
    if text in given:
        return text
    if number is not None and number in named:
        return named[number]
    return "" if is_missing(text) or number in NO_CLASS else text


def _spell(text: str) -> str:
    """Spell equal numbers equally."""
    number = Decimal(text)
    whole = number.to_integral_value()
    return str(int(whole)) if number == whole else f"{number.normalize():f}"


def _folded(name: str) -> str:
    """Return a form that is equal for names that only look different."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"[\s_-]+", "", text) or text


def _warn_of_names(names: Sequence[str]) -> None:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_folded(name), []).append(name)
    for near in groups.values():
        # Signs and decimal points are no spacing.
        if len(near) > 1 and not all(number_of(name) is not None for name in near):
            _warn(
                f"labels {', '.join(map(ascii, near))} are {len(near)} classes, but differ only in "
                "case, spacing or Unicode form: spell them equally if they are one"
            )
    for name in names:
        if name.lower() in SUSPICIOUS:
            _warn(f"label {name!r} is a class: leave the cell empty if it means that there is none")


def _warn(message: str) -> None:
    # Lightning takes seconds to import, and more memory than the samples of a large data set.
    from lightning.pytorch.utilities import rank_zero_warn

    rank_zero_warn(message, stacklevel=5)
