from . import (
    analysis as analysis,
    data as data,
    decoupler as decoupler,
    export as export,
    losses as losses,
    models as models,
    ops as ops,
    report as report,
    study as study,
    training as training,
)
from .data.base import MultimodalDataModule as MultimodalDataModule
from .data.embedded.digits import AVDigits as AVDigits
from .data.embedded.emoji import Emoji as Emoji
from .data.embedded.watch import Watch as Watch
from .data.manifest import PairedManifest as PairedManifest
from .data.preparation.recipe import (
    AudioRecipe as AudioRecipe,
    FramesRecipe as FramesRecipe,
    ImageRecipe as ImageRecipe,
    TextRecipe as TextRecipe,
)
from .decoupler import (
    DCTDecoupler as DCTDecoupler,
    Decoupler as Decoupler,
    FrequencyDecoupler as FrequencyDecoupler,
    HaarDecoupler as HaarDecoupler,
    LearnableFrequencyDecoupler as LearnableFrequencyDecoupler,
    PermutedDecoupler as PermutedDecoupler,
    RandomOrthogonalDecoupler as RandomOrthogonalDecoupler,
    SpatialFrequencyDecoupler as SpatialFrequencyDecoupler,
    WholeDecoupler as WholeDecoupler,
    frequency_split as frequency_split,
)
from .export.hub import ExportedStudent as ExportedStudent
from .export.student import export_student as export_student
from .export.weights import load_student as load_student
from .losses import (
    AFDLoss as AFDLoss,
    ATLoss as ATLoss,
    BinaryKDLoss as BinaryKDLoss,
    C2KDLoss as C2KDLoss,
    ChannelReduction as ChannelReduction,
    CIRKDLoss as CIRKDLoss,
    CIRKDv2Loss as CIRKDv2Loss,
    CompositeLoss as CompositeLoss,
    CosineDecay as CosineDecay,
    CRDLoss as CRDLoss,
    DenseC2KDLoss as DenseC2KDLoss,
    DistillationLoss as DistillationLoss,
    DISTLoss as DISTLoss,
    DKDLoss as DKDLoss,
    FDKDLoss as FDKDLoss,
    FeatureLoss as FeatureLoss,
    FreeKDLoss as FreeKDLoss,
    GlobalBatch as GlobalBatch,
    HintLoss as HintLoss,
    InfoNCELoss as InfoNCELoss,
    KDLoss as KDLoss,
    LabelSmoothingLoss as LabelSmoothingLoss,
    LayerwiseLoss as LayerwiseLoss,
    LogMSELoss as LogMSELoss,
    MeanOverChannels as MeanOverChannels,
    MFHLoss as MFHLoss,
    MultiLabelTask as MultiLabelTask,
    MutualLoss as MutualLoss,
    OneClassTask as OneClassTask,
    PKDLoss as PKDLoss,
    RegressionKDLoss as RegressionKDLoss,
    RegressionTask as RegressionTask,
    RKDLoss as RKDLoss,
    ShuffledPairs as ShuffledPairs,
    SignedLog1p as SignedLog1p,
    SPLoss as SPLoss,
    Standardizer as Standardizer,
    SumOverChannels as SumOverChannels,
    Task as Task,
    UnitLength as UnitLength,
    UnitVariance as UnitVariance,
    Unstandardized as Unstandardized,
    WarmUp as WarmUp,
    WeightSchedule as WeightSchedule,
    WrapperLoss as WrapperLoss,
    at_loss as at_loss,
    attention_distances as attention_distances,
    binary_kd_loss as binary_kd_loss,
    dist_loss as dist_loss,
    dkd_loss as dkd_loss,
    feature_loss as feature_loss,
    freekd_prompts as freekd_prompts,
    info_nce_loss as info_nce_loss,
    kd_loss as kd_loss,
    log_mse_loss as log_mse_loss,
    mfh_saliency as mfh_saliency,
    non_target_kl as non_target_kl,
    pkd_loss as pkd_loss,
    rank_agreement as rank_agreement,
    regression_kd_loss as regression_kd_loss,
    require_teacher as require_teacher,
    rkd_loss as rkd_loss,
    signed_log1p as signed_log1p,
    sp_loss as sp_loss,
)
from .losses.alignment import (
    SharedAlignmentHead as SharedAlignmentHead,
    alignment_loss as alignment_loss,
    soft_alignment_loss as soft_alignment_loss,
)
from .models import (
    ConvNet1d as ConvNet1d,
    DenseEvaluation as DenseEvaluation,
    FeatureModel as FeatureModel,
    Layers as Layers,
    NgramNet as NgramNet,
    PretrainedModel as PretrainedModel,
    ResNet as ResNet,
    TimmModel as TimmModel,
    TransformersModel as TransformersModel,
)
from .ops.cross_entropy import cross_entropy as cross_entropy
from .ops.haar_transform import haar_dwt as haar_dwt, haar_idwt as haar_idwt
from .ops.normalize import l2_normalize as l2_normalize, standardize as standardize
from .ops.probed_linear import ProbedLinear as ProbedLinear
from .training.cache.build import build_cache as build_cache
from .training.cache.cached_teacher import CachedTeacher as CachedTeacher
from .training.cache.settings import TeacherCache as TeacherCache
from .training.callback.callback import DistillationCallback as DistillationCallback
from .training.distillation import DistillationModule as DistillationModule
from .training.lr_scheduler import PolyLR as PolyLR
from .training.monitor.gradient_shares import GradientShares as GradientShares
from .training.monitor.live_progress import LiveProgress as LiveProgress
from .training.monitor.online_knn import OnlineKNN as OnlineKNN
from .training.monitor.online_linear_probe import OnlineLinearProbe as OnlineLinearProbe
from .training.monitor.sample_predictions import SamplePredictions as SamplePredictions
from .training.monitor.segmentation_images import SegmentationImages as SegmentationImages
from .training.projector import Projector as Projector
from .training.retrieval import RecallAtK as RecallAtK, recall_at_k as recall_at_k
from .training.run.atomic_checkpoint_io import AtomicCheckpointIO as AtomicCheckpointIO
from .training.run.predictions import PredictionTable as PredictionTable
from .training.teacher_check import TeacherWarning as TeacherWarning
from .training.teacher_weights import (
    ConfidenceWeights as ConfidenceWeights,
    FixedWeights as FixedWeights,
    LearnedWeights as LearnedWeights,
    TeacherWeights as TeacherWeights,
)
from .training.teachers import FrozenTeachers as FrozenTeachers, TrainedTeachers as TrainedTeachers
from .training.unimodal import UnimodalModule as UnimodalModule
from .types import IGNORE_INDEX as IGNORE_INDEX, Bands as Bands, Batch as Batch, Output as Output
