import pytest
from torch import nn

from fdkd_lightning.data.preparation.recipe import AudioRecipe, ImageRecipe
from fdkd_lightning.data.sample_rates import check_sample_rates
from fdkd_lightning.data.transforms.published_audio import OGMCREMADSpectrogram
from fdkd_lightning.data.transforms.spectrograms import LogDensitySpectrogram, LogMelSpectrogram
from fdkd_lightning.data.transforms.waveforms import Resample


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
