from .base import MultimodalDataModule as MultimodalDataModule
from .dataset import PairedDataset as PairedDataset
from .embedded.digits import AVDigits as AVDigits
from .embedded.digits_dataset import AVDigitsDataset as AVDigitsDataset
from .embedded.earth import Earth as Earth
from .embedded.emoji import Emoji as Emoji, EmojiDataset as EmojiDataset
from .embedded.indian_pines import IndianPines as IndianPines
from .embedded.rooms import Rooms as Rooms
from .embedded.watch import Watch as Watch
from .embedded.watch_windows import WatchDataset as WatchDataset
from .manifest import PairedManifest as PairedManifest
from .paired import PairedDataModule as PairedDataModule
from .preparation.coverage import CoverageError as CoverageError
from .preparation.media_error import MediaError as MediaError
from .preparation.recipe import (
    IMAGENET_MEAN as IMAGENET_MEAN,
    IMAGENET_STD as IMAGENET_STD,
    ArrayRecipe as ArrayRecipe,
    AudioRecipe as AudioRecipe,
    DepthRecipe as DepthRecipe,
    FramesRecipe as FramesRecipe,
    ImageRecipe as ImageRecipe,
    LabelMapRecipe as LabelMapRecipe,
    MediaRecipe as MediaRecipe,
    Part as Part,
    Recipe as Recipe,
    SceneImageRecipe as SceneImageRecipe,
    TextRecipe as TextRecipe,
)
from .preparation.sample import Sample as Sample
from .sets.ave import (
    AVE as AVE,
    AVEFirstEvents as AVEFirstEvents,
    AVEWithoutLeaks as AVEWithoutLeaks,
)
from .sets.cremad import CREMAD as CREMAD, CREMADSpeakerIndependent as CREMADSpeakerIndependent
from .sets.crisismmd import (
    CrisisMMD as CrisisMMD,
    CrisisMMDInformative as CrisisMMDInformative,
    CrisisMMDNonAgreed as CrisisMMDNonAgreed,
    CrisisMMDTweets as CrisisMMDTweets,
)
from .sets.kinetics_sounds import KineticsSounds as KineticsSounds
from .sets.nyudepth import NYUDepthV2 as NYUDepthV2, NYUDepthV2Coarse as NYUDepthV2Coarse
from .sets.vggsound import (
    VGGSound as VGGSound,
    VGGSound50 as VGGSound50,
    VGGSoundC2KD as VGGSoundC2KD,
)
from .transforms.byte_tokens import ByteTokens as ByteTokens
from .transforms.kaldi_fbank import KaldiFbank as KaldiFbank
from .transforms.normalize_depth import NormalizeDepth as NormalizeDepth
from .transforms.published_audio import (
    C2KDAVESpectrogram as C2KDAVESpectrogram,
    FDCMKDShortSpectrogram as FDCMKDShortSpectrogram,
    FDCMKDSpectrogram as FDCMKDSpectrogram,
    MMParetoFbank as MMParetoFbank,
    OGMCREMADSpectrogram as OGMCREMADSpectrogram,
    OGMVGGSoundSpectrogram as OGMVGGSoundSpectrogram,
)
from .transforms.random_affine import RandomAffine as RandomAffine
from .transforms.spectrograms import (
    LogDensitySpectrogram as LogDensitySpectrogram,
    LogMagnitudeSpectrogram as LogMagnitudeSpectrogram,
    LogMelSpectrogram as LogMelSpectrogram,
)
from .transforms.tokenize import Tokenize as Tokenize
from .transforms.waveforms import Excerpt as Excerpt, Resample as Resample, Tile as Tile
