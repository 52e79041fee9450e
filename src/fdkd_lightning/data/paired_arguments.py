"""Checks of the arguments of data modules whose samples are files."""

from collections.abc import Mapping
from typing import get_args

from torch import nn

from fdkd_lightning.data.preparation.recipe import AudioRecipe, Recipe
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


def check_sample_rates(recipes: Mapping[str, Recipe], transforms: nn.ModuleDict) -> None:
    """Raise if a transform is made for waveforms of another rate than they are read with.

    The rate of a transform is that of the first of its modules that has a ``sample_rate``.
    """
    for modality, recipe in recipes.items():
        if not isinstance(recipe, AudioRecipe) or modality not in transforms:
            continue
        modules = transforms[modality].modules()
        rates = (getattr(module, "sample_rate", None) for module in modules)
        rate = next((rate for rate in rates if isinstance(rate, int)), recipe.rate)
        if rate != recipe.rate:
            raise ValueError(
                f"transforms.{modality} has sample_rate={rate}, but recipes.{modality} reads "
                f"rate={recipe.rate}: give both the same"
            )
