"""Coverage of a prepared data set: how many samples are usable, and why others are not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.sample import SPLITS, Sample


class CoverageError(RuntimeError):
    """Too many samples of a split could not be prepared.

    The message names the split, the samples it has and should have, and the first faults.

    Example:
        >>> issubclass(CoverageError, RuntimeError)
        True
    """


class CoverageReport(NamedTuple):
    """Coverage of a prepared data set; as a string, a line for each split and the first faults.

    Args:
        manifest: Path of the manifest.
        statuses: Split -> number of samples with each status. Status ``absent`` means that the data
            set itself has no such modality for the sample, and is not a fault.
        decoded: Number of files decoded in this run, or to be decoded if it was a dry run.
        faults: Reasons of the first faults, with file and line.
    """

    manifest: Path
    statuses: Mapping[str, Counter[str]]
    decoded: int
    faults: Sequence[str]

    def found(self, split: str) -> int:
        """Number of samples of a split whose files are all prepared."""
        return self.statuses[split]["ok"] + self.statuses[split]["absent"]

    def expected(self, split: str) -> int:
        """Number of samples of a split."""
        return self.statuses[split].total()

    def __str__(self) -> str:
        lines = []
        for split in self.statuses:
            found, expected = self.found(split), self.expected(split)
            others = self.statuses[split] - Counter(ok=found, absent=expected)
            counts = ", ".join(f"{status} {count:,}" for status, count in sorted(others.items()))
            line = f"{split}: {found:,} of {expected:,} samples ({found / expected:.1%})"
            lines.append(f"{line}; {counts}" if counts else line)
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])


def make_report(
    manifest: Path, samples: Sequence[Sample], rows: Sequence[Row], decoded: int
) -> CoverageReport:
    """Count the statuses of the rows and collect the first faults.

    Args:
        manifest: Path of the manifest.
        samples: All samples.
        rows: Rows of the manifest, one for each sample, in the same order.
        decoded: Number of files decoded.
    """
    statuses = {
        split: Counter(row.status for row in rows if row.split == split) for split in SPLITS
    }
    faulty = [
        f"{sample.where}: {row.reason}"
        for sample, row in zip(samples, rows, strict=True)
        if row.status not in ("ok", "absent")
    ]
    more = [f"... and {len(faulty) - 5:,} more: see {manifest}"] if len(faulty) > 5 else []
    occurring = {split: counts for split, counts in statuses.items() if counts}
    return CoverageReport(manifest, occurring, decoded, faulty[:5] + more)


def check_coverage(report: CoverageReport, min_coverage: float) -> None:
    """Raise if a split has too few usable samples.

    Args:
        report: Coverage of all splits.
        min_coverage: Smallest fraction of the samples of each split, from 0 to 1. Samples that the
            data set itself rules out (status ``refused``) do not count.

    Raises:
        CoverageError: If a split has fewer.
    """
    for split in report.statuses:
        found = report.found(split)
        expected = report.expected(split) - report.statuses[split]["refused"]
        if found < min_coverage * expected:
            raise CoverageError(
                f"split {split!r} has {found:,} of {expected:,} samples, less than "
                f"min_coverage={min_coverage}. Repair the files and run again, which decodes only "
                f"them, or lower min_coverage:\n{report}"
            )
