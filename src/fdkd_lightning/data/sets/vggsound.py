"""VGGSound: ten-second clips from YouTube with a visible source of the sound."""

from collections.abc import Mapping

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import IMAGENET_MEAN, IMAGENET_STD
from fdkd_lightning.data.sets.vggsound_samples import (
    VGGSound50Files,
    VGGSoundC2KDFiles,
    VGGSoundFiles,
)
from fdkd_lightning.data.transforms.published_audio import OGMVGGSoundSpectrogram


class VGGSound(VGGSoundFiles, PairedDataModule):
    """VGGSound with the official splits: 309 classes, 183,730 training and 15,446 test clips.

    ``root`` holds the authors' list ``vggsound.csv`` (rows ``id,start,label,split``, no header) and
    the cut clips ``video/<id>_<start, six digits>.mp4``, or the authors' archives as they unpack
    (``scratch/shared/...``). If ``root`` has a folder ``audio``, sound is read from its
    ``<id>_<start, six digits>.wav``, which the authors' ``preprocess_audio.py`` writes; otherwise
    from the MP4 files. The folders ``train-videos``, ``train-audios``, ... of OGM-GE and C2KD are
    read too, also with a folder of frames for each clip, and so are files named
    ``v<id>_<start>_<end>_out.mkv``.

    Clips that are no longer on YouTube are recorded as missing and excluded. If you download the
    clips yourself, more than a tenth may be missing: lower ``min_coverage``, and publish the counts
    that ``prepare`` prints with your results.

    The list has 199,467 rows, 291 more than there are clips; of repeated rows the first counts. The
    validation split is a tenth of the training clips, drawn by whole videos. A training clip whose
    video is also in the test split is excluded. The manifest holds the reasons. Clips of three
    frames or fewer (at one frame per second) are kept, although C2KD excludes them; of fewer than
    three frames, one is repeated.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Shape:
        - batch["audio"]: [N, 1, 129, 626], the published spectrogram of 5 of the 10 seconds: a
          random excerpt in training, the middle one in evaluation (published code draws it there
          too)
        - batch["visual"]: [N, 3, 3, 224, 224], a frame of each third, cropped independently
        - batch["label"]: [N] int64, the labels of the list in alphabetical order

    Raises:
        FileNotFoundError: When the samples are read, if a list is missing.
        ValueError: When the samples are read, if a row has another form, or a label occurs in only
            one of the splits.

    Reference:
        Chen et al., "VGGSound: A Large-scale Audio-Visual Dataset" (arXiv:2004.14368),
        hche11/VGGSound (issue 19: the list's rows; issue 9: the archives). Inputs:
        GeWu-Lab/OGM-GE_CVPR2022 dataset/VGGSoundDataset.py; huofushuo/C2KD
        vggsound/utils/VGGSoundDataset.py.

    Example:
        >>> data = VGGSound("data/vggsound", batch_size=64, min_coverage=0.7)
        >>> data.modalities
        ('audio', 'visual')
    """

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: OGM-GE's spectrogram, and ImageNet's normalisation."""
        return {
            "audio": OGMVGGSoundSpectrogram(sample_rate=16_000, evaluation="center"),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }


class VGGSoundC2KD(VGGSoundC2KDFiles, VGGSound):
    """The 50 classes of C2KD, probably also FD-CMKD's: 25,835 training and 2,500 test clips.

    Put ``train_tiny.csv`` and ``test_tiny.csv`` of C2KD's ``vggsound/datasplit.zip`` into ``root``,
    beside the clips of :class:`VGGSound`; ``vggsound.csv`` is not needed. A class has 149 to 1,000
    training and 50 test clips. C2KD chooses the epoch on test data; here a tenth of the training
    clips is the validation split.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Reference:
        Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation" (CVPR
        2024), huofushuo/C2KD vggsound/datasplit.zip, vggsound/utils/VGGSoundDataset.py.

    Example:
        >>> VGGSoundC2KD("data/vggsound").own_val_fraction
        0.1
    """


class VGGSound50(VGGSound50Files, VGGSound):
    """Fifty classes of VGGSound, drawn by a hash of their names, with all their clips.

    A substitute for C2KD's lists; the results are not comparable with published ones. The draw
    depends neither on the order of the list nor on which clips were downloaded.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Example:
        >>> VGGSound50.drawn(["people clapping", "dog barking", "owl hooting"], count=2)
        ['owl hooting', 'people clapping']
    """
