from .afd import AFDLoss as AFDLoss, attention_distances as attention_distances
from .at import ATLoss as ATLoss, at_loss as at_loss
from .base import DistillationLoss as DistillationLoss, require_teacher as require_teacher
from .binary_kd import BinaryKDLoss as BinaryKDLoss, binary_kd_loss as binary_kd_loss
from .c2kd import C2KDLoss as C2KDLoss
from .c2kd_dense import DenseC2KDLoss as DenseC2KDLoss
from .cirkd import CIRKDLoss as CIRKDLoss
from .cirkd_v2 import CIRKDv2Loss as CIRKDv2Loss
from .composite import CompositeLoss as CompositeLoss
from .controls import LabelSmoothingLoss as LabelSmoothingLoss, ShuffledPairs as ShuffledPairs
from .crd import CRDLoss as CRDLoss
from .dist import DISTLoss as DISTLoss, dist_loss as dist_loss
from .dkd import DKDLoss as DKDLoss, dkd_loss as dkd_loss
from .fdkd import FDKDLoss as FDKDLoss
from .feature import FeatureLoss as FeatureLoss, feature_loss as feature_loss
from .freekd import FreeKDLoss as FreeKDLoss
from .freekd_prompts import freekd_prompts as freekd_prompts
from .global_batch import GlobalBatch as GlobalBatch
from .hint import HintLoss as HintLoss
from .infonce import InfoNCELoss as InfoNCELoss, info_nce_loss as info_nce_loss
from .kd import KDLoss as KDLoss, kd_loss as kd_loss
from .layerwise import LayerwiseLoss as LayerwiseLoss
from .log_mse import LogMSELoss as LogMSELoss, log_mse_loss as log_mse_loss
from .mfh import MFHLoss as MFHLoss
from .mfh_saliency import mfh_saliency as mfh_saliency
from .mutual import MutualLoss as MutualLoss
from .negatives import NegativeSampler as NegativeSampler, PublishedNegatives as PublishedNegatives
from .non_target import non_target_kl as non_target_kl
from .permutations import (
    Permutations as Permutations,
    PublishedPermutations as PublishedPermutations,
)
from .pkd import PKDLoss as PKDLoss, pkd_loss as pkd_loss
from .rank_agreement import rank_agreement as rank_agreement
from .reduction import (
    ChannelReduction as ChannelReduction,
    MeanOverChannels as MeanOverChannels,
    SumOverChannels as SumOverChannels,
)
from .regression_kd import (
    RegressionKDLoss as RegressionKDLoss,
    regression_kd_loss as regression_kd_loss,
)
from .rkd import RKDLoss as RKDLoss, rkd_loss as rkd_loss
from .schedule import CosineDecay as CosineDecay, WarmUp as WarmUp, WeightSchedule as WeightSchedule
from .signed_log import SignedLog1p as SignedLog1p, signed_log1p as signed_log1p
from .sp import SPLoss as SPLoss, sp_loss as sp_loss
from .standardizer import (
    Standardizer as Standardizer,
    UnitLength as UnitLength,
    UnitVariance as UnitVariance,
    Unstandardized as Unstandardized,
)
from .tasks.base import Task as Task
from .tasks.multi_label import MultiLabelTask as MultiLabelTask
from .tasks.one_class import OneClassTask as OneClassTask
from .tasks.regression import RegressionTask as RegressionTask
from .wrapper import WrapperLoss as WrapperLoss
