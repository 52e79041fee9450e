"""Data modules, and the transforms they run on the device."""

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.digits import AVDigits, AVDigitsDataset
from fdkd_lightning.data.fbank import KaldiFbank
from fdkd_lightning.data.pictures import PictureTransform
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
from fdkd_lightning.data.waveforms import Excerpt, Resample, Tile

__all__ = [
    "AVDigits",
    "AVDigitsDataset",
    "C2KDAVESpectrogram",
    "Excerpt",
    "FDCMKDShortSpectrogram",
    "FDCMKDSpectrogram",
    "KaldiFbank",
    "LogDensitySpectrogram",
    "LogMagnitudeSpectrogram",
    "LogMelSpectrogram",
    "MMParetoFbank",
    "MultimodalDataModule",
    "OGMCREMADSpectrogram",
    "OGMVGGSoundSpectrogram",
    "PictureTransform",
    "Resample",
    "Tile",
]
