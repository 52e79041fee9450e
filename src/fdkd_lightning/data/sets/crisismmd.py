"""CrisisMMD: tweets from seven disasters of 2017, a text and a picture each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.paths import within
from fdkd_lightning.data.preparation.recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageRecipe,
    Recipe,
    TextRecipe,
)
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.transforms.tokenize import Tokenize

LISTS = {"train": "train", "val": "dev", "test": "test"}
"""Split -> the owner's name for it."""

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
    """CrisisMMD v2.0, humanitarian categories on which text and picture agree: five classes.

    ``root`` is the unpacked ``CrisisMMD_v2.0.tar.gz`` (https://crisisnlp.qcri.org/crisismmd), of
    which it needs the folders ``data_image`` and ``crisismmd_datasplit_agreed_label``; unpack the
    latter's ZIP file there. A row of its lists is a sample, a tweet's text with one of its
    pictures: 6,126 for training, 998 for validation and 955 for test. The label is that of the
    columns ``label_text`` and ``label_image``, which are merged to five classes, not that of
    ``label``, which keeps up to eight names. More than half of each split is ``not_humanitarian``.

    A tweet with several pictures is in several rows; in the owner's agreed lists they all are in
    one split. Should a list have it otherwise, the rows of the earlier split, in the order train,
    val, test, are left out, with the reason in the manifest. Pictures that are missing or broken
    are recorded and left out too. A picture that is listed twice, an unknown label, two labels that
    do not agree, a path that leaves ``root``, and a row with other than nine cells are errors: the
    lists are tab-separated, and a quotation mark is a character like any other.

    Shape:
        - batch["text"]: input_ids and attention_mask, [N, L] each; the tweet as the list has it,
          links and entities such as ``&amp;`` included, in the tokens of BERT
        - batch["visual"]: [N, 3, 224, 224]
        - batch["label"]: [N] int64

    Raises:
        FileNotFoundError: Once samples are read, if a list is not there.
        ValueError: Once samples are read, if a row is not of that form.

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
    lists = "crisismmd_datasplit_agreed_label/task_humanitarian_text_img_agreed_lab_{}.tsv"
    label_columns: tuple[str, ...] = ("label_text", "label_image")

    def default_recipes(self) -> dict[str, Recipe]:
        """The text as it is, and the picture."""
        return {"text": TextRecipe(), "visual": ImageRecipe()}

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """BERT's tokens, and ImageNet's mean and deviation."""
        return {
            "text": Tokenize("google-bert/bert-base-uncased"),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def read_samples(self) -> list[Sample]:
        """The rows of the three lists."""
        samples = [
            self._sample(row, split, where)
            for split, name in LISTS.items()
            for where, row in _read_list(within(self.root, self.lists.format(name)))
        ]
        return _without_leaks(samples)

    def _sample(self, row: Mapping[str, str], split: str, where: str) -> Sample:
        labels = [row[column] for column in self.label_columns]
        if len(set(labels)) > 1:
            raise ValueError(
                f"{where}: {' and '.join(self.label_columns)} differ ({' and '.join(labels)}): "
                "this is not the owner's list of agreed labels"
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
    """Whether a tweet is informative, where text and picture agree: two classes.

    9,601 samples for training, 1,573 for validation and 1,534 for test. With two classes there is
    nothing among the others than the right one, so that half of DKD is zero.

    Args: as :class:`CrisisMMD`.

    Example:
        >>> CrisisMMDInformative("data/crisismmd", modalities=["visual"]).class_names
        ('informative', 'not_informative')
    """

    class_names = ("informative", "not_informative")
    lists = "crisismmd_datasplit_agreed_label/task_informative_text_img_agreed_lab_{}.tsv"


class CrisisMMDNonAgreed(CrisisMMD):
    """Humanitarian categories of all pairs, whether text and picture agree or not: eight classes.

    ``root`` needs the folder ``crisismmd_datasplit_all``. The label is the column ``label``, as
    MST-Distill uses it. 13,608 samples for training, 2,237 for validation and 2,237 for test.

    Args: as :class:`CrisisMMD`.

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
    lists = "crisismmd_datasplit_all/task_humanitarian_text_img_{}.tsv"
    label_columns = ("label",)


def _without_leaks(samples: Sequence[Sample]) -> list[Sample]:
    """The samples; of a tweet that is in two splits only those of the later one are to be used."""
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
    """File and line, and column -> cell, of each row."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: root is to be the owner's CrisisMMD_v2.0, in which the file "
            f"{path.parent.name}.zip is unpacked (https://crisisnlp.qcri.org/crisismmd)"
        )
    # No csv module: a tweet that begins with a quotation mark would swallow the rows after it. A
    # line ends at a line feed alone: tweets may hold other characters that end one for Python.
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            cells = line.rstrip("\r\n").split("\t")
            if number == 1:
                if tuple(cells) != COLUMNS:
                    raise ValueError(f"{where}: the columns are not {', '.join(COLUMNS)}")
            elif len(cells) != len(COLUMNS):
                raise ValueError(
                    f"{where}: {len(cells)} cells for {len(COLUMNS)} columns: {line[:80]!r}"
                )
            else:
                yield where, dict(zip(COLUMNS, cells, strict=True))
