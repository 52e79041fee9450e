"""Distillation losses, one method a file."""

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.controls import LabelSmoothingLoss, ShuffledPairs
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.feature import FeatureLoss, feature_loss
from fdkd_lightning.losses.kd import KDLoss, kd_loss
from fdkd_lightning.losses.log_mse import LogMSELoss, log_mse_loss, signed_log1p
from fdkd_lightning.losses.normalize import l2_normalize, standardize

__all__ = [
    "DistillationLoss",
    "FDKDLoss",
    "FeatureLoss",
    "KDLoss",
    "LabelSmoothingLoss",
    "LogMSELoss",
    "ShuffledPairs",
    "feature_loss",
    "kd_loss",
    "l2_normalize",
    "log_mse_loss",
    "signed_log1p",
    "standardize",
]
