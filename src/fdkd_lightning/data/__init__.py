"""Data modules, and the transforms they run on the device."""

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.digits import AVDigits, AVDigitsDataset
from fdkd_lightning.data.transforms import LogMelSpectrogram

__all__ = ["AVDigits", "AVDigitsDataset", "LogMelSpectrogram", "MultimodalDataModule"]
