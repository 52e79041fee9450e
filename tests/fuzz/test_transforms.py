"""Bad arguments and batches for every transform of a batch, and bad arguments for the recipes."""

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning import data

Spec = tuple[Callable[..., Any], Callable[[], dict[str, Any]]]


def sound() -> Tensor:
    return torch.rand(2, 4000) - 0.5


def on(cls: Callable[..., Any], kind: Callable[[], Any] = sound, **options: Any) -> Spec:
    """A transform of one input."""

    def call(x: Any, **arguments: Any) -> Any:
        return cls(**arguments)(x)

    return call, lambda: {"x": kind()} | options


def recipe(cls: Callable[..., Any], **options: Any) -> Spec:
    """A recipe, of which a blank sample of the training view is made."""

    def call(**arguments: Any) -> Any:
        return cls(**arguments).blank(np.random.default_rng(0))

    return call, lambda: dict(options)


scene = {"size": (8, 8), "scales": (1.0,), "crop": (4, 4), "mirror": True}
SPECS: dict[str, Spec] = {
    "AudioRecipe": recipe(data.AudioRecipe, rate=100, seconds=3.0, fill="tile", crop="start"),
    "ByteTokens": on(data.ByteTokens, lambda: ["owl", "cat"], max_length=8),
    "C2KDAVESpectrogram": on(data.C2KDAVESpectrogram, sample_rate=16_000),
    "DepthRecipe": recipe(data.DepthRecipe, **scene, unit=0.001),
    "Excerpt": on(data.Excerpt, length=100, evaluation="random"),
    "FDCMKDShortSpectrogram": on(data.FDCMKDShortSpectrogram, sample_rate=16_000),
    "FDCMKDSpectrogram": on(data.FDCMKDSpectrogram, sample_rate=22_050),
    "FramesRecipe": recipe(
        data.FramesRecipe,
        fps=1.0,
        least=3,
        count=2,
        size=8,
        augment=True,
        per_frame=False,
        bound=16,
        quality=95,
    ),
    "ImageRecipe": recipe(data.ImageRecipe, size=8, augment=True, bound=16, quality=95),
    "KaldiFbank": on(data.KaldiFbank, mean=-4.0, std=4.0, sample_rate=16_000, n_mels=16, length=32),
    "LabelMapRecipe": recipe(data.LabelMapRecipe, classes=(-100, 0, 1), **scene),
    "LogDensitySpectrogram": on(
        data.LogDensitySpectrogram,
        sample_rate=16_000,
        n_fft=128,
        hop_length=64,
        floor=1e-7,
        standardize=True,
    ),
    "LogMagnitudeSpectrogram": on(
        data.LogMagnitudeSpectrogram, n_fft=128, hop_length=64, floor=1e-7, pad_mode="reflect"
    ),
    "LogMelSpectrogram": on(
        data.LogMelSpectrogram,
        sample_rate=16_000,
        n_fft=128,
        hop_length=64,
        n_mels=8,
        floor=1e-4,
        standardize=False,
    ),
    "MMParetoFbank": on(data.MMParetoFbank, sample_rate=16_000),
    "NormalizeDepth": on(data.NormalizeDepth, lambda: torch.rand(2, 1, 4, 4), mean=2.8, std=1.4),
    "OGMCREMADSpectrogram": on(data.OGMCREMADSpectrogram, sample_rate=22_050, pad_mode="constant"),
    "OGMVGGSoundSpectrogram": on(
        data.OGMVGGSoundSpectrogram, sample_rate=16_000, evaluation="random", pad_mode="constant"
    ),
    "RandomAffine": on(
        data.RandomAffine,
        lambda: torch.rand(2, 3, 8, 8),
        degrees=10.0,
        translate=0.1,
        scale=(0.8, 1.2),
        mirror=True,
    ),
    "Resample": on(data.Resample, sample_rate=16_000, new_rate=8000),
    "SceneImageRecipe": recipe(data.SceneImageRecipe, **scene, quality=95),
    "Tile": on(data.Tile, length=5000),
    # The name of a tokenizer is not fuzzed: it would be looked up on the hub.
    "Tokenize": on(
        lambda max_length: data.Tokenize("/no/folder", max_length),
        lambda: ["owl", "cat"],
        max_length=8,
    ),
}
EXEMPT = {
    "bases that users derive from": "MediaRecipe Recipe MultimodalDataModule PairedDataModule",
    "data sets, whose tables and folders are other categories": "AVDigits AVDigitsDataset AVE "
    "AVEFirstEvents AVEWithoutLeaks CREMAD CREMADSpeakerIndependent CrisisMMD CrisisMMDInformative "
    "CrisisMMDNonAgreed CrisisMMDTweets Earth Emoji EmojiDataset IndianPines KineticsSounds "
    "NYUDepthV2 NYUDepthV2Coarse PairedDataset Rooms Watch WatchDataset "
    "PairedManifest VGGSound VGGSound50 VGGSoundC2KD",
    "containers, errors and constants": "CoverageError IMAGENET_MEAN IMAGENET_STD MediaError Part "
    "Sample",
    "without arguments": "ArrayRecipe TextRecipe",
}


def test_every_transform_and_recipe_is_fuzzed_or_exempt_for_a_reason() -> None:
    public = {name for name in data.__all__ if not inspect.ismodule(getattr(data, name))}
    exempt = {name for names in EXEMPT.values() for name in names.split()}
    assert public == {*SPECS} | exempt
    assert not exempt & {*SPECS}


@pytest.mark.parametrize("name", sorted({*SPECS} - {"Tokenize"}))
def test_good_arguments_give_finite_numbers(name: str, is_finite: Callable[..., bool]) -> None:
    call, good = SPECS[name]
    assert is_finite(call(**good()))


REALS = {"seconds", "fps", "unit", "mean", "std", "floor", "degrees", "translate"}


def number_has_meaning(argument: str, value: Any) -> bool:
    """Whether a number lies in the domain that the docstring states."""
    if value is None:
        return argument in ("seconds", "fps")
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return False
    if argument not in REALS:
        return isinstance(value, Integral) and value >= 1
    if argument == "mean":
        return True
    return value > 0 or (value == 0 and argument in ("floor", "degrees", "translate"))


def test_bad_arguments_are_refused_or_have_a_meaning(fuzz: Callable[..., None]) -> None:
    def has_meaning(name: str, case: Any, result: Any) -> bool:
        kind, value = case.kind, case.value
        if case.is_as_good(result):
            return True  # the argument is not used, as documented, or stands for the same
        if not kind:
            if case.name == "x":
                return name == "ByteTokens" and value == ()  # no texts, no tokens
            if case.name == "crop" and value is None:
                return True  # the stored size
            if not isinstance(value, int | float | None) or isinstance(
                case.arguments[case.name], bool | str | tuple
            ):
                return False
            # Without a floor silence is -inf, as stated.
            return number_has_meaning(case.name, value)
        if kind in ("nan", "inf"):
            return not case.is_finite(result)
        if kind == "empty":
            return all(not len(x) for x in [result])
        if name == "NormalizeDepth" and kind != "bool":
            return case.is_finite(result)  # pixel by pixel
        # One sample, or one less, is a smaller batch; a single clip [S] has its own shape.
        smaller = ("one sample", "a sample less", "fewer dimensions", "narrower", "half")
        return kind in smaller and case.is_finite(result)

    fuzz(SPECS, has_meaning)
