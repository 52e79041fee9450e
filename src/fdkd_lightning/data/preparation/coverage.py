"""How much of a set is prepared, and why the rest is not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.table import SPLITS, Sample


class CoverageError(RuntimeError):
    """Too much of a split could not be prepared."""


class Report(NamedTuple):
    """What is prepared.

    Shape:
        - manifest: the file
        - statuses: split -> how many samples have each status; ``absent`` is a modality that the
          set itself does not give the sample, and no fault
        - decoded: files that this run decoded, or with ``dry_run`` would try to
        - faults: some of the reasons, with file and line
    """

    manifest: Path
    statuses: Mapping[str, Counter[str]]
    decoded: int
    faults: Sequence[str]

    def found(self, split: str) -> int:
        """Samples of a split all of whose files are prepared."""
        return self.statuses[split]["ok"] + self.statuses[split]["absent"]

    def expected(self, split: str) -> int:
        """Samples of a split."""
        return self.statuses[split].total()

    def __str__(self) -> str:
        lines = []
        for split in self.statuses:
            found, expected = self.found(split), self.expected(split)
            others = self.statuses[split] - Counter(ok=found, absent=expected)
            why = ", ".join(f"{status} {count:,}" for status, count in sorted(others.items()))
            share = f"{split}: {found:,} of {expected:,} samples ({found / expected:.1%})"
            lines.append(f"{share}; {why}" if why else share)
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])


def make_report(
    manifest: Path, samples: Sequence[Sample], rows: Sequence[Row], decoded: int
) -> Report:
    """Count the statuses and pick some of the reasons."""
    statuses = {
        split: Counter(row.status for row in rows if row.split == split) for split in SPLITS
    }
    faulty = [
        f"{sample.where}: {row.reason}"
        for sample, row in zip(samples, rows, strict=True)
        if row.status not in ("ok", "absent")
    ]
    more = [f"... and {len(faulty) - 5:,} more: see {manifest}"] if len(faulty) > 5 else []
    there = {split: counts for split, counts in statuses.items() if counts}
    return Report(manifest, there, decoded, faulty[:5] + more)


def check_coverage(report: Report, least: float) -> None:
    """Raise if less than that share of a split is there."""
    for split in report.statuses:
        # Those that the lists themselves rule out cannot be mended.
        found = report.found(split)
        expected = report.expected(split) - report.statuses[split]["refused"]
        if found < least * expected:
            raise CoverageError(
                f"split {split!r} has {found:,} of {expected:,} samples, less than "
                f"min_coverage={least}. Mend the files and start again (only they are decoded), "
                f"or lower min_coverage:\n{report}"
            )
