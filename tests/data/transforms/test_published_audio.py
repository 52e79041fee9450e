from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
import yaml
from jsonargparse import ArgumentParser
from numpy.typing import NDArray
from torch import Tensor, nn

from fdkd_lightning.data.transforms import published_audio as recipes
from fdkd_lightning.data.transforms.published_audio import (
    C2KDAVESpectrogram,
    FDCMKDShortSpectrogram,
    FDCMKDSpectrogram,
    MMParetoFbank,
    OGMCREMADSpectrogram,
    OGMVGGSoundSpectrogram,
)

# Each recipe, its own rate and the shape of one clip.
RECIPES: list[tuple[Callable[..., nn.Module], int, tuple[int, int]]] = [
    (OGMCREMADSpectrogram, 22_050, (257, 188)),
    (OGMVGGSoundSpectrogram, 16_000, (129, 626)),
    (FDCMKDSpectrogram, 22_050, (257, 1004)),
    (FDCMKDShortSpectrogram, 16_000, (257, 299)),
    (C2KDAVESpectrogram, 16_000, (257, 1004)),
    (MMParetoFbank, 16_000, (128, 1024)),
]
every_recipe = pytest.mark.parametrize(("recipe", "rate", "shape"), RECIPES)
resampling = pytest.mark.parametrize(
    ("recipe", "rate", "shape"), [row for row in RECIPES if row[0] is not MMParetoFbank]
)


def speech(rate: int, seconds: float, seed: int = 0) -> Tensor:
    """Noise whose loudness changes, beyond full scale at times, as resampled speech is."""
    samples = round(rate * seconds)
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    return noise * torch.linspace(0, 0.6, samples)


def limited(clip: Tensor, copies: int, length: int) -> NDArray[np.float64]:
    samples = np.tile(clip.double().numpy(), copies)[:length]
    samples[samples > 1.0] = 1.0
    samples[samples < -1.0] = -1.0
    return samples


def librosa_stft(x: NDArray[np.float64], n_fft: int, hop: int) -> NDArray[np.float64]:
    """The magnitude of librosa.stft with its defaults, frame by frame."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    padded = np.pad(x, n_fft // 2)
    starts = range(0, len(x) + 1, hop)
    return np.abs(np.stack([np.fft.rfft(window * padded[i : i + n_fft]) for i in starts], axis=1))


def scipy_density(x: NDArray[np.float64], rate: int, standardize: bool) -> NDArray[np.float64]:
    _, _, density = scipy.signal.spectrogram(x, rate, nperseg=512, noverlap=353)
    y: NDArray[np.float64] = np.log(density + 1e-7)
    return (y - np.mean(y)) / (np.std(y) + 1e-9) if standardize else y


@every_recipe
def test_every_length_gives_the_published_shape(
    recipe: Callable[..., nn.Module], rate: int, shape: tuple[int, int]
) -> None:
    clips = [speech(rate, seconds) for seconds in (0.3, 1.27, 12)]
    transform = recipe()
    assert transform(clips).shape == (3, 1, *shape)
    assert transform(torch.stack([speech(rate, 2.5)] * 2)).shape == (2, 1, *shape)


@resampling
def test_one_prepared_rate_serves_every_recipe(
    recipe: Callable[..., nn.Module], rate: int, shape: tuple[int, int]
) -> None:
    for prepared in {16_000, 22_050, 44_100} - {rate}:
        clips = [speech(prepared, 1.5), speech(prepared, 2.0)]
        assert recipe(sample_rate=prepared)(clips).shape == (2, 1, *shape)


def test_a_tone_lies_where_it_would_at_the_recipe_s_own_rate() -> None:
    def tone(rate: int) -> Tensor:
        return torch.sin(2 * torch.pi * 1000 * torch.arange(3 * rate) / rate)[None]

    at_16k = OGMCREMADSpectrogram(sample_rate=16_000)(tone(16_000))
    own = OGMCREMADSpectrogram()(tone(22_050))
    assert torch.equal(at_16k[..., 2:-2].argmax(2), own[..., 2:-2].argmax(2))
    torch.testing.assert_close(at_16k[..., 2:-2].amax(2), own[..., 2:-2].amax(2), atol=0.01, rtol=0)


@pytest.mark.parametrize("seconds", [1.27, 2.5, 5.0])
def test_ogm_s_and_c2kd_s_crema_d(seconds: float) -> None:
    clip = speech(22_050, seconds)
    stft = librosa_stft(limited(clip, 3, 3 * 22_050), 512, 353)
    ours = OGMCREMADSpectrogram()([clip])[0, 0].double().exp().numpy() - 1e-7
    np.testing.assert_allclose(ours, stft, rtol=1e-4, atol=1e-6 * stft.max())


@pytest.mark.parametrize("seconds", [3.0, 10.0, 12.0])
def test_ogm_s_and_c2kd_s_vggsound(seconds: float) -> None:
    clip = speech(16_000, seconds)
    sample = clip
    while len(sample) < 160_000:
        sample = sample.repeat(2)
    # The middle of the first 10 s.
    stft = librosa_stft(limited(sample[40_000:], 1, 80_000), 256, 128)
    transform = OGMVGGSoundSpectrogram(evaluation="center").eval()
    ours = transform([clip])[0, 0].double().exp().numpy() - 1e-7
    np.testing.assert_allclose(ours, stft, rtol=1e-4, atol=1e-6 * stft.max())


def test_vggsound_s_excerpts_are_random_in_evaluation_as_published_unless_told() -> None:
    x = torch.stack([speech(16_000, 10)] * 3)
    published, fixed = OGMVGGSoundSpectrogram().eval(), OGMVGGSoundSpectrogram(evaluation="center")
    assert len(published(x).unique(dim=0)) == 3
    assert len(fixed.eval()(x).unique(dim=0)) == 1
    assert len(fixed.train()(x).unique(dim=0)) == 3


@pytest.mark.parametrize("seconds", [1.27, 5.0, 9.0])
def test_the_reproduction_s_active_crema_d(seconds: float) -> None:
    clip = speech(22_050, seconds)
    theirs = scipy_density(limited(clip, 10, 160_000), 22_050, standardize=True)
    np.testing.assert_allclose(FDCMKDSpectrogram()([clip])[0, 0].numpy(), theirs, atol=1e-3)


@pytest.mark.parametrize("seconds", [1.27, 5.0])
def test_the_reproduction_s_other_crema_d(seconds: float) -> None:
    clip = speech(16_000, seconds)
    theirs = scipy_density(limited(clip, 3, 48_000), 16_000, standardize=False)
    np.testing.assert_allclose(FDCMKDShortSpectrogram()([clip])[0, 0].numpy(), theirs, atol=1e-3)


@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_c2kd_s_ave(seconds: float) -> None:
    clip = speech(16_000, seconds)
    theirs = scipy_density(limited(clip, 10, 160_000), 16_000, standardize=True)
    np.testing.assert_allclose(C2KDAVESpectrogram()([clip])[0, 0].numpy(), theirs, atol=1e-3)


def test_what_c2kd_does_to_ave_s_grid_next_is_a_shear() -> None:
    """Row r of np.resize begins 20 frames further on than row r - 1: why it is not offered."""
    frequency, time = np.meshgrid(np.arange(257), np.arange(1004), indexing="ij")
    frequencies, times = (np.resize(grid, (257, 1024)) for grid in (frequency, time))
    assert times[:, 0].tolist() == [20 * row % 1004 for row in range(257)]
    # One row holds two frequencies, or three.
    assert frequencies[100, 0] == 101
    assert frequencies[100, -1] == 103
    # The end is the beginning again.
    assert (frequencies[-5:, -1] < 6).all()


def test_mmpareto_s_numbers() -> None:
    fbank = MMParetoFbank()
    assert (fbank.mean, fbank.std, fbank.n_mels, fbank.length) == (-4.503877, 5.141276, 128, 1024)


@every_recipe
def test_silence_is_finite(
    recipe: Callable[..., nn.Module], rate: int, shape: tuple[int, int]
) -> None:
    assert recipe()(torch.zeros(2, 2 * rate)).isfinite().all()


def test_yaml_names_every_recipe_by_its_class_path() -> None:
    parser = ArgumentParser()
    parser.add_argument("--transforms", type=dict[str, nn.Module])
    public = [
        name
        for name, value in vars(recipes).items()
        if isinstance(value, type) and value.__module__ == recipes.__name__
    ]
    assert {recipe.__name__ for recipe, _, _ in RECIPES} == {*public}
    config: dict[str, Any] = {
        name: {"class_path": f"fdkd_lightning.data.{name}", "init_args": {"sample_rate": 44_100}}
        for name in public
    }
    config["OGMVGGSoundSpectrogram"]["init_args"]["evaluation"] = "center"
    made = parser.instantiate(parser.parse_string(yaml.safe_dump({"transforms": config})))
    assert {name: type(module).__name__ for name, module in made.transforms.items()} == {
        name: name for name in public
    }
    assert made.transforms["OGMVGGSoundSpectrogram"][2].evaluation == "center"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_recipe
def test_a_gpu_gives_the_same(
    recipe: Callable[..., nn.Module], rate: int, shape: tuple[int, int]
) -> None:
    clips = [speech(rate, 1.5), speech(rate, 2.0)]
    transform = recipe()
    torch.manual_seed(0)
    expected = transform(clips)
    torch.manual_seed(0)
    actual = transform.cuda()([clip.cuda() for clip in clips])
    assert actual.is_cuda
    torch.testing.assert_close(actual.cpu(), expected, atol=5e-2, rtol=0)
