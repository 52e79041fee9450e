"""Data modules, and the transforms they run on the device."""

from fdkd_lightning.data.affine import RandomAffine
from fdkd_lightning.data.ave import AVE, AVEFirstEvents, AVEWithoutLeaks
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.byte_tokens import ByteTokens
from fdkd_lightning.data.cremad import CREMAD, CREMADSpeakerIndependent
from fdkd_lightning.data.crisismmd import CrisisMMD, CrisisMMDInformative, CrisisMMDNonAgreed
from fdkd_lightning.data.dataset import PairedDataset
from fdkd_lightning.data.digits import AVDigits, AVDigitsDataset
from fdkd_lightning.data.emoji import Emoji, EmojiDataset
from fdkd_lightning.data.fbank import KaldiFbank
from fdkd_lightning.data.manifest import PairedManifest
from fdkd_lightning.data.media import MediaError
from fdkd_lightning.data.normalize_depth import NormalizeDepth
from fdkd_lightning.data.nyudepth import NYUDepthV2, NYUDepthV2Coarse
from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AudioRecipe,
    DepthRecipe,
    FramesRecipe,
    ImageRecipe,
    LabelMapRecipe,
    MediaRecipe,
    Part,
    Recipe,
    SceneImageRecipe,
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
from fdkd_lightning.data.report import CoverageError
from fdkd_lightning.data.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    LogMelSpectrogram,
)
from fdkd_lightning.data.table import Sample
from fdkd_lightning.data.tokens import Tokenize
from fdkd_lightning.data.vggsound import VGGSound, VGGSound50, VGGSoundC2KD
from fdkd_lightning.data.waveforms import Excerpt, Resample, Tile

__all__ = [
    "AVE",
    "CREMAD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "AVDigits",
    "AVDigitsDataset",
    "AVEFirstEvents",
    "AVEWithoutLeaks",
    "AudioRecipe",
    "ByteTokens",
    "C2KDAVESpectrogram",
    "CREMADSpeakerIndependent",
    "CoverageError",
    "CrisisMMD",
    "CrisisMMDInformative",
    "CrisisMMDNonAgreed",
    "DepthRecipe",
    "Emoji",
    "EmojiDataset",
    "Excerpt",
    "FDCMKDShortSpectrogram",
    "FDCMKDSpectrogram",
    "FramesRecipe",
    "ImageRecipe",
    "KaldiFbank",
    "LabelMapRecipe",
    "LogDensitySpectrogram",
    "LogMagnitudeSpectrogram",
    "LogMelSpectrogram",
    "MMParetoFbank",
    "MediaError",
    "MediaRecipe",
    "MultimodalDataModule",
    "NYUDepthV2",
    "NYUDepthV2Coarse",
    "NormalizeDepth",
    "OGMCREMADSpectrogram",
    "OGMVGGSoundSpectrogram",
    "PairedDataModule",
    "PairedDataset",
    "PairedManifest",
    "Part",
    "RandomAffine",
    "Recipe",
    "Resample",
    "Sample",
    "SceneImageRecipe",
    "TextRecipe",
    "Tile",
    "Tokenize",
    "VGGSound",
    "VGGSound50",
    "VGGSoundC2KD",
]
