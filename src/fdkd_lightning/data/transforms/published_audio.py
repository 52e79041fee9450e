"""The audio inputs of the published codes, by name.

Each takes waveforms at ``sample_rate`` and brings them to the recipe's own rate first, so that one
prepared form of a data set serves them all. Clips of different lengths come as a list. A recipe is
a class so that YAML can name it::

    transforms:
      audio:
        class_path: fdkd_lightning.data.OGMVGGSoundSpectrogram
        init_args: {evaluation: center}
"""

from typing import Literal

from torch import nn

from fdkd_lightning.data.transforms.fbank import KaldiFbank
from fdkd_lightning.data.transforms.spectrograms import (
    LogDensitySpectrogram,
    LogMagnitudeSpectrogram,
)
from fdkd_lightning.data.transforms.waveforms import Excerpt, Resample, Tile


class OGMCREMADSpectrogram(nn.Sequential):
    """OGM-GE's and C2KD's input for CREMA-D.

    3 s at 22,050 Hz, the clip repeated to fill them; magnitude of an STFT with windows of 512
    samples every 353; natural logarithm.

    Args:
        sample_rate: Samples per second of what comes.
        pad_mode: See :class:`~fdkd_lightning.data.LogMagnitudeSpectrogram`. C2KD names
            librosa 0.10.1, hence ``"constant"``; OGM-GE names no version.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: [N, 1, 257, 188]

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
        pad_mode: Literal["constant", "reflect"] = "constant",
    ) -> None:
        super().__init__(
            Resample(sample_rate, 22_050),
            Tile(3 * 22_050),
            LogMagnitudeSpectrogram(n_fft=512, hop_length=353, pad_mode=pad_mode),
        )


class OGMVGGSoundSpectrogram(nn.Sequential):
    """OGM-GE's and C2KD's input for VGGSound.

    5 s at 16,000 Hz from a random place within the first 10, which a shorter clip is repeated to
    fill; magnitude of an STFT with windows of 256 samples every 128; natural logarithm.

    Args:
        sample_rate: Samples per second of what comes.
        evaluation: Where the 5 s lie when nothing is trained. ``"random"`` is what both codes do,
            on test data too; ``"center"`` gives the same score twice.
        pad_mode: As in :class:`OGMCREMADSpectrogram`.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: [N, 1, 129, 626]

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
        evaluation: Literal["random", "center"] = "random",
        pad_mode: Literal["constant", "reflect"] = "constant",
    ) -> None:
        super().__init__(
            Resample(sample_rate, 16_000),
            Tile(10 * 16_000),
            Excerpt(5 * 16_000, evaluation),
            LogMagnitudeSpectrogram(n_fft=256, hop_length=128, pad_mode=pad_mode),
        )


class FDCMKDSpectrogram(nn.Sequential):
    """The input for CREMA-D that the reproduction of FD-CMKD computes.

    The clip at 22,050 Hz, repeated to fill 160,000 samples (7.26 s); power spectral density with
    windows of 512 samples that overlap by 353; natural logarithm; each clip standardised.

    Args:
        sample_rate: Samples per second of what comes.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: [N, 1, 257, 1004]

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
    """The input for CREMA-D that the reproduction of FD-CMKD names, but does not compute.

    3 s at 16,000 Hz, the clip repeated to fill them; else as :class:`FDCMKDSpectrogram`, but not
    standardised. The code for it is there and never called; the folder that the loader reads is
    named after its 299 frames, while what is run fills it with 1,004.

    Args:
        sample_rate: Samples per second of what comes.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: [N, 1, 257, 299]

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
    """C2KD's input for AVE, as far as its grid of times and frequencies is whole.

    The event alone, which the data set is to cut out, at 16,000 Hz, repeated to fill 10 s; else as
    :class:`FDCMKDSpectrogram`. C2KD ships the loader, which reads such spectrograms from files, not
    what wrote them: rate and length are those that the files' names and shape fit.

    Its loader then calls ``np.resize(spectrogram, (257, 1024))``, which stretches nothing: it
    writes the 257 rows of 1,004 values one after the other into rows of 1,024. So each row begins
    20 frames further into the next frequency's values than the row above, a column no longer holds
    one moment, nor a row one frequency, and the last five rows repeat the first. That is not
    offered here: a convolutional network takes 1,004 frames as well.

    Args:
        sample_rate: Samples per second of what comes.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: [N, 1, 257, 1004]

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
    """MMPareto's input for CREMA-D and Kinetics Sounds: Kaldi's filter bank, 10.24 s.

    128 mel bands every 10 ms at the recording's own rate, filled up or cut to 1,024 frames, less
    -4.503877, over twice 5.141276. MMPareto reads such features from files; OGM-GE's repository, by
    the same group, holds the script that writes them. Both keep time before frequency.

    Args:
        sample_rate: Samples per second of what comes.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length; each of 25 ms or more
        - output: [N, 1, 128, 1024]

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
