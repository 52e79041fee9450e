"""Distillation losses, one method a file."""

from fdkd_lightning.losses.afd import AFDLoss, attention_distances
from fdkd_lightning.losses.at import ATLoss, at_loss
from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.c2kd import C2KDLoss, non_target_kl, rank_agreement
from fdkd_lightning.losses.composite import CompositeLoss
from fdkd_lightning.losses.controls import LabelSmoothingLoss, ShuffledPairs
from fdkd_lightning.losses.crd import CRDLoss
from fdkd_lightning.losses.dist import DISTLoss, dist_loss
from fdkd_lightning.losses.dkd import DKDLoss, dkd_loss
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.feature import FeatureLoss, feature_loss
from fdkd_lightning.losses.freekd import FreeKDLoss, freekd_prompts
from fdkd_lightning.losses.haar import haar_dwt, haar_idwt
from fdkd_lightning.losses.hint import HintLoss
from fdkd_lightning.losses.infonce import InfoNCELoss, info_nce_loss
from fdkd_lightning.losses.kd import KDLoss, kd_loss
from fdkd_lightning.losses.layerwise import LayerwiseLoss
from fdkd_lightning.losses.log_mse import LogMSELoss, log_mse_loss, signed_log1p
from fdkd_lightning.losses.mfh import MFHLoss, mfh_saliency
from fdkd_lightning.losses.normalize import l2_normalize, standardize
from fdkd_lightning.losses.pkd import PKDLoss, pkd_loss
from fdkd_lightning.losses.rkd import RKDLoss, rkd_loss
from fdkd_lightning.losses.schedule import CosineDecay, WarmUp, WeightSchedule
from fdkd_lightning.losses.sp import SPLoss, sp_loss

__all__ = [
    "AFDLoss",
    "ATLoss",
    "C2KDLoss",
    "CRDLoss",
    "CompositeLoss",
    "CosineDecay",
    "DISTLoss",
    "DKDLoss",
    "DistillationLoss",
    "FDKDLoss",
    "FeatureLoss",
    "FreeKDLoss",
    "HintLoss",
    "InfoNCELoss",
    "KDLoss",
    "LabelSmoothingLoss",
    "LayerwiseLoss",
    "LogMSELoss",
    "MFHLoss",
    "PKDLoss",
    "RKDLoss",
    "SPLoss",
    "ShuffledPairs",
    "WarmUp",
    "WeightSchedule",
    "at_loss",
    "attention_distances",
    "dist_loss",
    "dkd_loss",
    "feature_loss",
    "freekd_prompts",
    "haar_dwt",
    "haar_idwt",
    "info_nce_loss",
    "kd_loss",
    "l2_normalize",
    "log_mse_loss",
    "mfh_saliency",
    "non_target_kl",
    "pkd_loss",
    "rank_agreement",
    "require_teacher",
    "rkd_loss",
    "signed_log1p",
    "sp_loss",
    "standardize",
]
