"""Any paired folder: a table of files, texts and labels becomes a data module."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import Recipe
from fdkd_lightning.data.preparation.table import Sample, read_table, within


class PairedManifest(PairedDataModule):
    """Your own pairs, from a table with the columns id, split, label and one per modality.

    ``split`` is train, val or test. A modality's column holds paths relative to ``root``, or with
    a :class:`~fdkd_lightning.TextRecipe` the texts themselves. An empty label means none,
    an empty path or text that the sample lacks the modality. Columns ``start`` and
    ``duration`` (seconds), if there are any, choose a segment of each file; others are ignored.

    The files are decoded when they are first needed, those of the selected modalities only, into
    ``prepared``, which also gets a manifest that says what became of each sample.

    Args:
        root: Folder of the files, below which all of them must lie.
        table: The table, relative to ``root``: CSV, TSV, or Parquet with the extra ``parquet``.
        recipes: Modality -> how it is decoded and loaded; the names of the table's columns.
        class_names: The classes, in the order of their numbers; None: the labels that occur, in
            numerical or else alphabetical order.
        batch_size: Samples per batch and process.
        eval_batch_size: The same where nothing is trained; None: ``batch_size``.
        num_workers: Loader processes; 0 loads in the process that trains.
        modalities: The modalities to decode and load; None: all that ``recipes`` names.
        optional_modalities: Samples that lack one of these, or whose file is broken, are kept if
            they have another; lacking one of the other ``modalities`` they are left out.
        seed: Draws the order of training samples, their views and those that keep their label.
        transforms: Modality -> module applied to its batch; others stay as the recipe gives them.
        labelled: Training samples that keep their label, the same number of each class as far as
            possible; the others get -100. None: all.
        balance: Draw training samples so that all classes are equally frequent, with replacement.
        val_fraction: Part of the training samples that become the validation split, where the
            table has none: of each class alike, or whole groups with ``group``. None: the table's
            own validation split, which it must have.
        split_seed: Draws that part.
        group: Column of what must not be in both training and validation, a speaker for instance;
            used with ``val_fraction``. None: none.
        prepared: Folder of the prepared form; None: ``prepared`` in ``root``.
        prepare_workers: Processes that decode; None: one for each CPU.
        min_coverage: Least share of each split's samples that must be decoded.
        views: Name -> modality of which the batch holds one more view under that name, so that a
            teacher may see a sample otherwise than a student of its modality does. ``recipes`` and
            ``transforms`` may name it; what they do not name is as the modality's.

    Shape:
        - batch[modality]: [N, ...], as the recipe says; a list where the samples' shapes differ
        - batch["present"]: modality -> [N] bool, for those of ``modalities`` that are optional
        - batch["label"]: [N] int64
        - batch["index"]: [N] int64, the sample's row in the table, from 0

    Raises:
        ValueError: If an argument is out of range; once the table is read, if a row has an
            unknown split or label, another's id, a path that leaves the root, or too few cells.
        FileNotFoundError: If the table is not there.
        CoverageError: In ``prepare_data``, if less than ``min_coverage`` of a split is there.

    Example:
        >>> from fdkd_lightning.data import AudioRecipe, ImageRecipe
        >>> data = PairedManifest(
        ...     root="birds",
        ...     table="birds.csv",
        ...     recipes={"audio": AudioRecipe(rate=16000, seconds=5), "visual": ImageRecipe()},
        ...     class_names=["owl", "wren"],
        ... )
        >>> data.num_classes, data.modalities
        (2, ('audio', 'visual'))
    """

    def __init__(
        self,
        root: str | Path,
        table: str,
        recipes: dict[str, Recipe],
        class_names: Sequence[str] | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        optional_modalities: Sequence[str] = (),
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        labelled: int | None = None,
        balance: bool = False,
        val_fraction: float | None = None,
        split_seed: int = 0,
        group: str | None = None,
        prepared: str | Path | None = None,
        prepare_workers: int | None = None,
        min_coverage: float = 0.9,
        views: dict[str, str] | None = None,
    ) -> None:
        if class_names is not None:
            if len(set(class_names)) < len(class_names):
                raise ValueError(f"class_names={list(class_names)} holds one twice")
            self.class_names = tuple(class_names)
        super().__init__(
            root,
            recipes,
            batch_size,
            eval_batch_size,
            num_workers,
            modalities,
            optional_modalities,
            seed,
            transforms,
            labelled,
            balance,
            val_fraction,
            split_seed,
            prepared,
            prepare_workers,
            min_coverage,
            views,
        )
        self.table = table
        self.group = group

    def read_samples(self) -> list[Sample]:
        """The table's rows."""
        named = [modality for modality in self.modalities if modality not in self.views]
        return read_table(within(self.root, self.table), named, self.group)
