"""Coverage of a prepared data set: how many samples are usable, and why others are not."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.sample import LABEL_MAP, SPLITS, Sample


class CoverageError(RuntimeError):
    """Too many samples of a split could not be prepared.

    The message names the split, the samples it has and should have, and the first three faults;
    ``report`` holds the counts of all splits.

    Example:
        >>> issubclass(CoverageError, RuntimeError)
        True
    """

    report: "CoverageReport | None" = None


class CoverageReport(NamedTuple):
    """Coverage of a prepared data set; as a string, a line for each split and the first faults.

    Args:
        manifest: Path of the manifest; of the prepared folder if it was a dry run.
        statuses: Split -> number of samples with each status. Status ``absent`` means that the data
            set itself has no such modality for the sample, and is not a fault.
        used: Split -> number of samples that are trained on or evaluated.
        lacking: Split -> modality -> number of samples without faults that are not used, because
            the data set has no such required modality for them.
        decoded: Number of files decoded in this run, or to be decoded if it was a dry run.
        faults: Reasons of the first faults, with file and line.
        left_out: The first samples that ``lacking`` counts, with file and line.
        examples: Split -> id and reason of its first three faults, and how many more there are.
        hint: Which folder holds the files, if none was found.
    """

    manifest: Path
    statuses: Mapping[str, Counter[str]]
    used: Mapping[str, int]
    lacking: Mapping[str, Counter[str]]
    decoded: int
    faults: Sequence[str]
    left_out: Sequence[str]
    examples: Mapping[str, Sequence[str]]
    hint: str = ""

    def found(self, split: str) -> int:
        """Number of samples of a split without faults."""
        return self.statuses[split]["ok"] + self.statuses[split]["absent"]

    def expected(self, split: str) -> int:
        """Number of samples of a split."""
        return self.statuses[split].total()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return split -> status, or ``used`` -> number of samples."""
        return {split: {**n, "used": self.used[split]} for split, n in self.statuses.items()}

    def __str__(self) -> str:
        lines = []
        for split, statuses in self.statuses.items():
            used, expected = self.used[split], self.expected(split)
            others = statuses - Counter(ok=expected, absent=expected)
            counts = [f"{status} {count:,}" for status, count in sorted(others.items())]
            counts += [f"without {name} {n:,}" for name, n in sorted(self.lacking[split].items())]
            line = f"{split}: {used:,} of {expected:,} samples ({used / expected:.1%})"
            lines.append(f"{line}; {', '.join(counts)}" if counts else line)
        below = (*([self.hint] if self.hint else []), *self.faults, *self.left_out)
        return "\n".join([*lines, *(f"  {text}" for text in below)])


def is_usable(
    sample: Sample, row: Row, modalities: Collection[str], optional: Collection[str]
) -> bool:
    """Return whether a sample can be loaded.

    A sample needs all modalities that are not optional and at least one modality. It may lack a
    label map, but not have a faulty one.
    """
    return (
        any(modality in row.sources for modality in modalities)
        and {*modalities} - {*optional} <= row.sources.keys()
        and (LABEL_MAP in row.sources or LABEL_MAP not in sample.sources)
    )


def make_report(
    manifest: Path,
    samples: Sequence[Sample],
    rows: Sequence[Row],
    decoded: int,
    modalities: Collection[str],
    optional: Collection[str] = (),
    dry_run: bool = False,
) -> CoverageReport:
    """Count the statuses of the rows and collect the first faults.

    A dry run writes no manifest, which is then not named.
    """
    names = [name for name in modalities if name != LABEL_MAP]
    statuses: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for (split, status), count in Counter((row.split, row.status) for row in rows).items():
        statuses[split][status] = count
    occurring = {split: counts for split, counts in statuses.items() if counts}
    used = dict.fromkeys(occurring, 0)
    lacking: dict[str, Counter[str]] = {split: Counter() for split in occurring}
    faulty, left_out = [], []
    lost: dict[str, list[str]] = {split: [] for split in occurring}
    for sample, row in zip(samples, rows, strict=True):
        if is_usable(sample, row, names, optional):
            used[row.split] += 1
        elif row.status in ("ok", "absent"):
            absent = [name for name in names if name not in row.sources and name not in optional]
            without = " and ".join(absent) or " or ".join(names)
            lacking[row.split][without] += 1
            left_out.append(f"{sample.where}: {row.id!r} is left out: without {without}")
        if row.status not in ("ok", "absent"):
            faulty.append(f"{sample.where}: {row.id!r}: {row.reason}")
            if row.status != "refused":
                lost[row.split].append(f"{row.id!r}: {row.reason}")
    see = None if dry_run else manifest
    first, out = _first(faulty, see), _first(left_out, see)
    examples = {split: _first(texts, see, 3) for split, texts in lost.items()}
    return CoverageReport(manifest, occurring, used, lacking, decoded, first, out, examples)


def _first(texts: Sequence[str], manifest: Path | None, count: int = 5) -> list[str]:
    see = "" if manifest is None else f": see {manifest}"
    more = [f"... and {len(texts) - count:,} more{see}"] if len(texts) > count else []
    return [*texts[:count], *more]


def check_coverage(report: CoverageReport, min_coverage: float) -> None:
    """Raise if a smaller fraction than ``min_coverage`` of a split's samples is usable.

    Samples that the data set itself rules out (status ``refused``), or lists without a required
    modality, do not count.

    Raises:
        CoverageError: If a split has fewer.
    """
    for split in report.statuses:
        lacking = report.lacking[split].total()
        found = report.found(split) - lacking
        expected = report.expected(split) - report.statuses[split]["refused"] - lacking
        if found < min_coverage * expected:
            faults = "; ".join([*([report.hint] if report.hint else []), *report.examples[split]])
            error = CoverageError(
                f"split {split!r} has {found:,} of {expected:,} samples, less than "
                f"min_coverage={min_coverage}. Repair the files and run again, which decodes only "
                f"them, or lower min_coverage:\n  {faults}"
            )
            error.report = report
            raise error
