from typing import Any

import pytest
from torch import nn

from fdkd_lightning.data.paired_arguments import check_arguments, check_sample_rates
from fdkd_lightning.data.preparation.recipe import AudioRecipe, ImageRecipe
from fdkd_lightning.data.transforms.published_audio import OGMCREMADSpectrogram
from fdkd_lightning.data.transforms.spectrograms import LogDensitySpectrogram, LogMelSpectrogram
from fdkd_lightning.data.transforms.waveforms import Resample

VALID: dict[str, Any] = {
    "val_fraction": 0.5,
    "split_seed": 0,
    "prepare_workers": 1,
    "min_coverage": 1.0,
}


def test_the_bounds_are_allowed() -> None:
    check_arguments(**VALID)
    check_arguments(None, 0, None, min_coverage=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("val_fraction", 0.0),
        ("val_fraction", 1.0),
        ("split_seed", -1),
        ("prepare_workers", -1),
        ("min_coverage", 1.01),
        ("min_coverage", float("nan")),
    ],
)
def test_a_number_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value} must be"):
        check_arguments(**VALID | {name: value})


def test_an_unknown_comparison_is_named() -> None:
    with pytest.raises(ValueError, match="compare='hash' is unknown: choose 'time' or 'content'"):
        check_arguments(**VALID | {"compare": "hash"})


@pytest.mark.parametrize("name", ["split_seed", "prepare_workers"])
def test_a_count_is_a_whole_number(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}=2.5 must be a whole number"):
        check_arguments(**VALID | {name: 2.5})


@pytest.mark.parametrize(
    "transform",
    [
        LogMelSpectrogram(16_000),
        LogDensitySpectrogram(16_000),
        OGMCREMADSpectrogram(16_000),
        # Of two rates the first is that of the waveforms.
        nn.Sequential(Resample(16_000, 8_000), LogMelSpectrogram(8_000)),
    ],
)
def test_waveforms_are_read_at_the_transforms_rate(transform: nn.Module) -> None:
    recipes, transforms = {"image": ImageRecipe()}, nn.ModuleDict({"audio": transform})
    check_sample_rates({**recipes, "audio": AudioRecipe(16_000)}, transforms)
    words = "transforms.audio has sample_rate=16000, but recipes.audio reads rate=8000: give both"
    with pytest.raises(ValueError, match=words):
        check_sample_rates({**recipes, "audio": AudioRecipe(8_000)}, transforms)
    # Without a rate of its own a transform takes any.
    check_sample_rates({"audio": AudioRecipe(8_000)}, nn.ModuleDict({"audio": nn.Identity()}))
