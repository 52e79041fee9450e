"""Check that audio is read at the sampling rate that its transform is made for."""

from collections.abc import Mapping

from torch import nn

from fdkd_lightning.data.preparation.recipe import AudioRecipe, Recipe


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
