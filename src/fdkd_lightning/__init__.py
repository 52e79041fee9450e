"""Cross-modal knowledge distillation for PyTorch Lightning."""

from fdkd_lightning.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.cross_entropy import cross_entropy
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.digits import AVDigits
from fdkd_lightning.decoupler import Decoupler, FrequencyDecoupler, frequency_split
from fdkd_lightning.distillation import DistillationModule
from fdkd_lightning.linear import ProbedLinear
from fdkd_lightning.losses import (
    DistillationLoss,
    FDKDLoss,
    FeatureLoss,
    KDLoss,
    LabelSmoothingLoss,
    LogMSELoss,
    ShuffledPairs,
    feature_loss,
    kd_loss,
    log_mse_loss,
    signed_log1p,
    standardize,
)
from fdkd_lightning.lr_scheduler import PolyLR
from fdkd_lightning.models import PretrainedModel, ResNet
from fdkd_lightning.predictions import PredictionTable
from fdkd_lightning.teachers import FrozenTeachers, TeacherWarning
from fdkd_lightning.types import IGNORE_INDEX, Bands, Batch, Output
from fdkd_lightning.unimodal import UnimodalModule

__all__ = [
    "IGNORE_INDEX",
    "AVDigits",
    "Bands",
    "Batch",
    "Decoupler",
    "DistillationLoss",
    "DistillationModule",
    "FDKDLoss",
    "FeatureLoss",
    "FrequencyDecoupler",
    "FrozenTeachers",
    "KDLoss",
    "LabelSmoothingLoss",
    "LogMSELoss",
    "MultimodalDataModule",
    "Output",
    "PolyLR",
    "PredictionTable",
    "PretrainedModel",
    "ProbedLinear",
    "ResNet",
    "SharedAlignmentHead",
    "ShuffledPairs",
    "TeacherWarning",
    "UnimodalModule",
    "alignment_loss",
    "cross_entropy",
    "feature_loss",
    "frequency_split",
    "kd_loss",
    "log_mse_loss",
    "signed_log1p",
    "standardize",
]
