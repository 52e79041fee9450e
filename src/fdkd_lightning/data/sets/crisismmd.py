"""CrisisMMD: text and image of tweets from seven disasters of 2017."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageRecipe,
    Recipe,
    TextRecipe,
)
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.transforms.tokenize import Tokenize
from fdkd_lightning.files.read_file import read_text

LISTS = {"train": "train", "val": "dev", "test": "test"}
"""Split -> its name in the authors' files."""

COLUMNS = (
    "event_name",
    "tweet_id",
    "image_id",
    "tweet_text",
    "image",
    "label",
    "label_text",
    "label_image",
    "label_text_image",
)


class CrisisMMD(PairedDataModule):
    """CrisisMMD v2.0, five humanitarian categories on which text and image agree.

    ``root`` is the unpacked ``CrisisMMD_v2.0.tar.gz`` (https://crisisnlp.qcri.org/crisismmd), with
    the folders ``data_image`` and ``crisismmd_datasplit_agreed_label``; unpack the ZIP file of the
    latter into ``root``. The lists are also read from ``data/task_data``, a folder of
    https://github.com/firojalam/multimodal_social_media. Each row is one sample, a tweet's text
    with one of its images: 6,126 training, 998 validation and 955 test samples. The label is that
    of the columns ``label_text`` and ``label_image``, which are merged to five classes. The column
    ``label``, with up to eight classes, is not used. More than half of each split is
    ``not_humanitarian``.

    A tweet with several images is in several rows. In the official agreed lists these are in one
    split. In other lists, the rows of the earlier split (order: train, val, test) are excluded,
    with the reason in the manifest. Missing and damaged images are recorded and excluded too. These
    are errors: an image listed twice, an unknown label, two labels that differ, a path outside
    ``root``, and a row without nine cells. The lists are tab-separated; quotation marks have no
    special meaning.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Shape:
        - batch["text"]: input_ids and attention_mask, [N, L] int64 each: BERT's tokens of the
          unchanged tweet, with links and entities such as ``&amp;``
        - batch["visual"]: [N, 3, 224, 224]
        - batch["label"]: [N] int64

    Raises:
        FileNotFoundError: When the samples are read, if a list is missing.
        ValueError: When the samples are read, if a row has another form or its labels differ.

    Reference:
        Alam et al., "CrisisMMD: Multimodal Twitter Datasets from Natural Disasters"
        (arXiv:1805.00713). Splits: Ofli et al., "Analysis of Social Media Data using Multimodal
        Deep Learning for Disaster Response" (arXiv:2004.11838), firojalam/multimodal_social_media
        data/task_data, bin/data_process_multimodal_pair.py.

    Example:
        >>> data = CrisisMMD("data/crisismmd", modalities=["visual"])
        >>> data.num_classes, data.class_names[:2]
        (5, ('affected_individuals', 'infrastructure_and_utility_damage'))
    """

    class_names: tuple[str, ...] = (
        "affected_individuals",
        "infrastructure_and_utility_damage",
        "not_humanitarian",
        "other_relevant_information",
        "rescue_volunteering_or_donation_effort",
    )
    available_modalities = ("text", "visual")
    list_name = "crisismmd_datasplit_agreed_label/task_humanitarian_text_img_agreed_lab_{}.tsv"
    label_columns: tuple[str, ...] = ("label_text", "label_image")

    def default_recipes(self) -> dict[str, Recipe]:
        """Return the recipes: the unchanged text, and the image."""
        return {"text": TextRecipe(), "visual": ImageRecipe()}

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: BERT's tokens, and ImageNet's mean and standard deviation."""
        return {
            "text": Tokenize("google-bert/bert-base-uncased"),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def read_samples(self) -> list[Sample]:
        """Read the rows of the three lists."""
        samples = [
            self._sample(row, split, where)
            for split, name in LISTS.items()
            for where, row in _read_list(self._find(name))
        ]
        return _without_leaks(samples)

    def _find(self, split: str) -> Path:
        folder, _, name = self.list_name.format(split).partition("/")
        return self.find_list(
            f"{folder}/{name}",
            *(f"{place}{name}" for place in ("data/task_data/", "task_data/", "")),
            advice=f"set root to the folder CrisisMMD_v2.0 and unpack {folder}.zip in it "
            "(https://crisisnlp.qcri.org/crisismmd), or set lists to the folder of the lists",
        )

    def _sample(self, row: Mapping[str, str], split: str, where: str) -> Sample:
        labels = [row[column] for column in self.label_columns]
        if len(set(labels)) > 1:
            raise ValueError(
                f"{where}: {' and '.join(self.label_columns)} differ ({' and '.join(labels)}): "
                "use the official list of agreed labels"
            )
        sources = {"text": row["tweet_text"], "visual": row["image"]}
        return Sample(
            row["image_id"],
            split,
            labels[0],
            {modality: source for modality, source in sources.items() if source},
            group=row["tweet_id"],
            where=where,
        )


class CrisisMMDInformative(CrisisMMD):
    """CrisisMMD v2.0, informative or not, where text and image agree: two classes.

    9,601 training, 1,573 validation and 1,534 test samples. With two classes, DKD's non-target term
    is always zero, since there is only one non-target class.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Example:
        >>> CrisisMMDInformative("data/crisismmd", modalities=["visual"]).class_names
        ('informative', 'not_informative')
    """

    class_names = ("informative", "not_informative")
    list_name = "crisismmd_datasplit_agreed_label/task_informative_text_img_agreed_lab_{}.tsv"


class CrisisMMDNonAgreed(CrisisMMD):
    """CrisisMMD v2.0, eight humanitarian categories, whether or not text and image agree.

    ``root`` needs the folder ``crisismmd_datasplit_all``. The label is the column ``label``, as in
    MST-Distill. 13,608 training, 2,237 validation and 2,237 test samples.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Reference:
        Li et al., "MST-Distill: Mixture of Specialized Teachers for Cross-Modal Knowledge
        Distillation" (arXiv:2507.07015), Gray-OREO/MST-Distill.

    Example:
        >>> CrisisMMDNonAgreed("data/crisismmd", modalities=["visual"]).num_classes
        8
    """

    class_names = (
        "affected_individuals",
        "infrastructure_and_utility_damage",
        "injured_or_dead_people",
        "missing_or_found_people",
        "not_humanitarian",
        "other_relevant_information",
        "rescue_volunteering_or_donation_effort",
        "vehicle_damage",
    )
    list_name = "crisismmd_datasplit_all/task_humanitarian_text_img_{}.tsv"
    label_columns = ("label",)


class CrisisMMDTweets(CrisisMMDNonAgreed):
    """CrisisMMD v2.0, eight humanitarian categories, one row a tweet.

    Of the rows of a tweet the first counts, in the order of the files that MST-Distill reads: val,
    test, train. This leaves 16,058 tweets, each in one split. MST-Distill draws splits of its own
    from them.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Reference:
        Gray-OREO/MST-Distill data_preprocess/preprocess_CrisisMMD_0.py.

    Example:
        >>> CrisisMMDTweets("data/crisismmd", modalities=["visual"]).num_classes
        8
    """

    def read_samples(self) -> list[Sample]:
        """Read the rows of the three lists; rows of a tweet after its first have a fault."""
        samples = [sample._replace(fault="") for sample in super().read_samples()]
        first: dict[str, Sample] = {}
        for split in ("val", "test", "train"):
            for sample in samples:
                if sample.split == split:
                    first.setdefault(sample.group, sample)
        return [
            sample
            if first[sample.group] is sample
            else sample._replace(fault=f"the tweet is {first[sample.group].where} too")
            for sample in samples
        ]


def _without_leaks(samples: Sequence[Sample]) -> list[Sample]:
    """Mark the samples whose tweet is also in a later split as unusable."""
    order = list(LISTS)
    last: dict[str, str] = {}
    for sample in samples:
        last[sample.group] = max(last.get(sample.group, "train"), sample.split, key=order.index)
    return [
        sample
        if sample.split == last[sample.group]
        else sample._replace(fault=f"tweet {sample.group} is in the {last[sample.group]} split too")
        for sample in samples
    ]


def _read_list(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield, for each row, its file and line, and its cells by column."""
    # The csv module would join the rows after a tweet that begins with a quotation mark. Only a
    # line feed ends a row: tweets contain other characters that Python takes for line ends.
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), 1):
        where = f"{path}, line {number}"
        cells = line.rstrip("\r").split("\t")
        if number == 1:
            if tuple(cells) != COLUMNS:
                raise ValueError(f"{where}: the columns are not {', '.join(COLUMNS)}")
        elif len(cells) != len(COLUMNS):
            raise ValueError(
                f"{where}: expected {len(COLUMNS)} cells, got {len(cells)}: {line[:80]!r}"
            )
        else:
            yield where, dict(zip(COLUMNS, cells, strict=True))
