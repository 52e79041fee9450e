"""Audio inputs of published codes.

Each class takes waveforms at ``sample_rate`` and first resamples them to the rate of its published
code, so that one prepared form of a data set serves all of them. Clips of different lengths arrive
as a list. Each input is a class, so that YAML can name it::

    transforms:
      audio:
        class_path: fdkd_lightning.data.OGMVGGSoundSpectrogram
        init_args: {evaluation: center}
"""

from torch import nn

from fdkd_lightning.data.transforms.kaldi_fbank import KaldiFbank
from fdkd_lightning.data.transforms.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
    PadMode,
)
from fdkd_lightning.data.transforms.waveforms import Excerpt, Position, Resample, Tile


class OGMCREMADSpectrogram(nn.Sequential):
    """Audio input of OGM-GE and C2KD for CREMA-D.

    The clip is repeated to 3 s at 22,050 Hz. The spectrogram is the natural logarithm of the
    magnitude of an STFT with windows of 512 samples every 353.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.
        pad_mode: Padding at both ends of the clip, see
            :class:`~fdkd_lightning.data.LogMagnitudeSpectrogram`. C2KD names librosa 0.10.1, hence
            ``"constant"``; OGM-GE names no version.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
        - output: [N, 1, 257, 188]

    Raises:
        ValueError: If an argument is out of range, or a clip has no samples.

    Reference:
        Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation"
        (arXiv:2203.15332), GeWu-Lab/OGM-GE_CVPR2022 dataset/CramedDataset.py; huofushuo/C2KD
        cramed/utils/CramedDataset.py, vggsound/requirement.txt.

    Example:
        >>> import torch
        >>> OGMCREMADSpectrogram(sample_rate=16_000)(torch.randn(2, 40_000)).shape
        torch.Size([2, 1, 257, 188])
    """

    def __init__(
        self,
        sample_rate: int = 22_050,
        pad_mode: PadMode = "constant",
    ) -> None:
        super().__init__(
            Resample(sample_rate, 22_050),
            Tile(3 * 22_050),
            LogMagnitudeSpectrogram(n_fft=512, hop_length=353, pad_mode=pad_mode),
        )


class OGMVGGSoundSpectrogram(nn.Sequential):
    """Audio input of OGM-GE and C2KD for VGGSound.

    An excerpt of 5 s at 16,000 Hz starts at a random position within the first 10 s; a shorter clip
    is repeated to 10 s. The spectrogram is the natural logarithm of the magnitude of an STFT with
    windows of 256 samples every 128.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.
        evaluation: Position of the excerpt in evaluation. ``"random"`` is what both codes do, on
            test data too; ``"center"`` makes scores reproducible.
        pad_mode: Padding at both ends of the excerpt, see :class:`OGMCREMADSpectrogram`.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
        - output: [N, 1, 129, 626]

    Raises:
        ValueError: If an argument is out of range, or a clip has no samples.

    Reference:
        GeWu-Lab/OGM-GE_CVPR2022 dataset/VGGSoundDataset.py; huofushuo/C2KD
        vggsound/utils/VGGSoundDataset.py.

    Example:
        >>> import torch
        >>> OGMVGGSoundSpectrogram(evaluation="center")(torch.randn(2, 160_000)).shape
        torch.Size([2, 1, 129, 626])
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        evaluation: Position = "random",
        pad_mode: PadMode = "constant",
    ) -> None:
        super().__init__(
            Resample(sample_rate, 16_000),
            Tile(10 * 16_000),
            Excerpt(5 * 16_000, evaluation),
            LogMagnitudeSpectrogram(n_fft=256, hop_length=128, pad_mode=pad_mode),
        )


class FDCMKDSpectrogram(nn.Sequential):
    """Audio input that the reproduction of FD-CMKD computes for CREMA-D.

    The clip is repeated to 160,000 samples (7.26 s) at 22,050 Hz. The spectrogram is the natural
    logarithm of the power spectral density with windows of 512 samples that overlap by 353,
    standardized for each clip.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
        - output: [N, 1, 257, 1004]

    Raises:
        ValueError: If ``sample_rate`` is below 1, or a clip has no samples.

    Reference:
        zxn0710/re-FD-CMKD-main data/CREMAD/audio_preprocessing.py.

    Example:
        >>> import torch
        >>> FDCMKDSpectrogram()(torch.randn(2, 50_000)).shape
        torch.Size([2, 1, 257, 1004])
    """

    def __init__(self, sample_rate: int = 22_050) -> None:
        super().__init__(
            Resample(sample_rate, 22_050),
            Tile(160_000),
            LogDensitySpectrogram(22_050, n_fft=512, hop_length=512 - 353, standardize=True),
        )


class FDCMKDShortSpectrogram(nn.Sequential):
    """Audio input that the reproduction of FD-CMKD names for CREMA-D, but does not compute.

    The clip is repeated to 3 s at 16,000 Hz. The spectrogram is that of
    :class:`FDCMKDSpectrogram`, but not standardized. The reproduction contains code for it that is
    never called: the folder which its loader reads is named after the 299 frames, but the script
    that is run writes files of 1,004 frames into it.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
        - output: [N, 1, 257, 299]

    Raises:
        ValueError: If ``sample_rate`` is below 1, or a clip has no samples.

    Reference:
        zxn0710/re-FD-CMKD-main data/CREMAD/video_preprocessing.py, dataset/CremadDataset.py.

    Example:
        >>> import torch
        >>> FDCMKDShortSpectrogram()(torch.randn(2, 40_000)).shape
        torch.Size([2, 1, 257, 299])
    """

    def __init__(self, sample_rate: int = 16_000) -> None:
        super().__init__(
            Resample(sample_rate, 16_000),
            Tile(3 * 16_000),
            LogDensitySpectrogram(16_000, n_fft=512, hop_length=512 - 353),
        )


class C2KDAVESpectrogram(nn.Sequential):
    """Audio input of C2KD for AVE, up to the step that breaks the grid of times and frequencies.

    The data set must cut out the event. The event is repeated to 10 s at 16,000 Hz; the spectrogram
    is that of :class:`FDCMKDSpectrogram`. C2KD publishes the loader of such spectrograms, but not
    the script that wrote them: rate and length are those that file names and shape imply.

    The loader then calls ``np.resize(spectrogram, (257, 1024))``. This does not interpolate: it
    writes the 257 rows of 1,004 values one after the other into rows of 1,024. Each row therefore
    begins 20 frames further into the values of the next frequency than the row above, a column no
    longer holds one time nor a row one frequency, and the last five rows repeat the first. This
    class leaves that step out: a convolutional network accepts 1,004 frames as well.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
        - output: [N, 1, 257, 1004]

    Raises:
        ValueError: If ``sample_rate`` is below 1, or a clip has no samples.

    Reference:
        Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation" (CVPR
        2024), huofushuo/C2KD ave/utils/AVEDataset.py.

    Example:
        >>> import torch
        >>> C2KDAVESpectrogram()([torch.randn(32_000), torch.randn(48_000)]).shape
        torch.Size([2, 1, 257, 1004])
    """

    def __init__(self, sample_rate: int = 16_000) -> None:
        super().__init__(
            Resample(sample_rate, 16_000),
            Tile(10 * 16_000),
            LogDensitySpectrogram(16_000, n_fft=512, hop_length=512 - 353, standardize=True),
        )


class MMParetoFbank(KaldiFbank):
    """Audio input of MMPareto for CREMA-D and Kinetics Sounds: Kaldi filter bank, 10.24 s.

    128 mel bins every 10 ms at the rate of the recording, padded or truncated to 1,024 frames, and
    normalized with mean -4.503877 and twice the standard deviation 5.141276. MMPareto reads such
    features from files; the repository of OGM-GE, by the same group, holds the script that writes
    them. Both keep time before frequency.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths; each of 25 ms or more
        - output: [N, 1, 128, 1024]

    Raises:
        ValueError: If ``sample_rate`` is below 1, or a clip is shorter than 25 ms.

    Reference:
        Wei and Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance"
        (arXiv:2405.17730), GeWu-Lab/MMPareto_ICML2024 code/dataset/av_dataset.py;
        GeWu-Lab/OGM-GE_CVPR2022 data/KineticSound/process_audio.py.

    Example:
        >>> import torch
        >>> MMParetoFbank()(torch.randn(2, 40_000)).shape
        torch.Size([2, 1, 128, 1024])
    """

    def __init__(self, sample_rate: int = 16_000) -> None:
        super().__init__(mean=-4.503877, std=5.141276, sample_rate=sample_rate)
