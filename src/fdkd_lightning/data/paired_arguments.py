"""Checks of the arguments of data modules whose samples are files."""

from typing import get_args

from fdkd_lightning.data.preparation.source_files import Compare
from fdkd_lightning.ops.checks import check_choice, check_count, check_range


def check_arguments(
    val_fraction: float | None,
    split_seed: int,
    prepare_workers: int | None,
    min_coverage: float,
    compare: Compare = "time",
) -> None:
    """Check numbers and choices among the arguments of ``PairedFiles``."""
    if val_fraction is not None:
        check_range("val_fraction", val_fraction, above=0, below=1)
    check_count("split_seed", split_seed, 0)
    if prepare_workers is not None:
        check_count("prepare_workers", prepare_workers, 0)
    check_range("min_coverage", min_coverage, 0, 1)
    check_choice("compare", compare, get_args(Compare))
