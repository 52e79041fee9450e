"""Checks of the arguments of data modules whose samples are files."""

from typing import get_args

from fdkd_lightning.data.preparation.source_files import Compare
from fdkd_lightning.ops.checks import check_choice, check_range


def check_arguments(
    labelled: int | None,
    val_fraction: float | None,
    split_seed: int,
    prepare_workers: int | None,
    min_coverage: float,
    compare: Compare = "time",
) -> None:
    """Check numbers and choices among the arguments of ``PairedDataModule``.

    Args:
        labelled: Number of training samples that keep their label; None: all.
        val_fraction: Fraction of the training samples for validation; None: none.
        split_seed: Seed of the validation split.
        prepare_workers: Number of decoding processes, 0: none; None: the CPUs that may be used.
        min_coverage: Smallest fraction of the samples that must be usable.
        compare: What distinguishes versions of a source file.

    Raises:
        ValueError: If a number is out of range, or ``compare`` is unknown.

    Example:
        >>> check_arguments(None, 0.1, 0, None, min_coverage=0.9)
    """
    if labelled is not None:
        check_range("labelled", labelled, 1)
    if val_fraction is not None:
        check_range("val_fraction", val_fraction, above=0, below=1)
    check_range("split_seed", split_seed, 0)
    if prepare_workers is not None:
        check_range("prepare_workers", prepare_workers, 0)
    check_range("min_coverage", min_coverage, 0, 1)
    check_choice("compare", compare, get_args(Compare))
