"""Data modules, and the transforms they run on the device."""

from fdkd_lightning.data.affine import RandomAffine
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.byte_tokens import ByteTokens
from fdkd_lightning.data.digits import AVDigits, AVDigitsDataset
from fdkd_lightning.data.emoji import Emoji, EmojiDataset
from fdkd_lightning.data.fbank import KaldiFbank
from fdkd_lightning.data.manifest import PairedManifest
from fdkd_lightning.data.media import MediaError
from fdkd_lightning.data.paired import PairedDataModule, PairedDataset
from fdkd_lightning.data.pictures import PictureTransform
from fdkd_lightning.data.prepare import CoverageError
from fdkd_lightning.data.recipe import (
    AudioRecipe,
    FramesRecipe,
    ImageRecipe,
    MediaRecipe,
    Recipe,
    TextRecipe,
)
from fdkd_lightning.data.recipes import (
    C2KDAVESpectrogram,
    FDCMKDShortSpectrogram,
    FDCMKDSpectrogram,
    MMParetoFbank,
    OGMCREMADSpectrogram,
    OGMVGGSoundSpectrogram,
)
from fdkd_lightning.data.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    LogMelSpectrogram,
)
from fdkd_lightning.data.table import Sample
from fdkd_lightning.data.waveforms import Excerpt, Resample, Tile

__all__ = [
    "AVDigits",
    "AVDigitsDataset",
    "AudioRecipe",
    "ByteTokens",
    "C2KDAVESpectrogram",
    "CoverageError",
    "Emoji",
    "EmojiDataset",
    "Excerpt",
    "FDCMKDShortSpectrogram",
    "FDCMKDSpectrogram",
    "FramesRecipe",
    "ImageRecipe",
    "KaldiFbank",
    "LogDensitySpectrogram",
    "LogMagnitudeSpectrogram",
    "LogMelSpectrogram",
    "MMParetoFbank",
    "MediaError",
    "MediaRecipe",
    "MultimodalDataModule",
    "OGMCREMADSpectrogram",
    "OGMVGGSoundSpectrogram",
    "PairedDataModule",
    "PairedDataset",
    "PairedManifest",
    "PictureTransform",
    "RandomAffine",
    "Recipe",
    "Resample",
    "Sample",
    "TextRecipe",
    "Tile",
]
