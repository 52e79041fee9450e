"""Data modules, and the transforms they run on the device."""

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.digits import AVDigits, AVDigitsDataset
from fdkd_lightning.data.manifest import PairedManifest
from fdkd_lightning.data.media import MediaError
from fdkd_lightning.data.paired import PairedDataModule, PairedDataset
from fdkd_lightning.data.prepare import CoverageError
from fdkd_lightning.data.recipe import (
    AudioRecipe,
    FramesRecipe,
    ImageRecipe,
    MediaRecipe,
    Recipe,
    TextRecipe,
)
from fdkd_lightning.data.table import Sample
from fdkd_lightning.data.transforms import LogMelSpectrogram

__all__ = [
    "AVDigits",
    "AVDigitsDataset",
    "AudioRecipe",
    "CoverageError",
    "FramesRecipe",
    "ImageRecipe",
    "LogMelSpectrogram",
    "MediaError",
    "MediaRecipe",
    "MultimodalDataModule",
    "PairedDataModule",
    "PairedDataset",
    "PairedManifest",
    "Recipe",
    "Sample",
    "TextRecipe",
]
