"""Data module of any paired files, texts and labels that a table lists."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import Recipe
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.source_files import Compare
from fdkd_lightning.data.preparation.table import read_table


class PairedManifest(PairedDataModule):
    """Paired data of your own, from a table with the columns id, split, label and the modalities.

    ``split`` is train, val or test. The column of a modality holds paths relative to ``root``, or
    with a :class:`~fdkd_lightning.TextRecipe` the texts themselves; an empty one means that the
    sample lacks the modality. Optional columns ``start`` and ``duration`` (seconds) choose a
    segment of each file. Other columns are ignored.

    A label that is empty, ``nan``, ``<NA>``, -100 or -1 means that there is none, unless
    ``class_names`` names it. White space at the ends of a label is removed. If all labels are
    numbers, they sort as numbers, and 10.0 equals 10. Names that differ only in case, spacing or
    Unicode form stay different classes, with a warning.

    ``prepare_data`` decodes the files of the selected modalities into ``prepared``, together with a
    manifest that documents the status of each sample.

    Args:
        root: Folder of the source files; all of them must be below it.
        table: The table, relative to ``lists``: CSV, TSV, or Parquet with the extra ``parquet``.
        recipes: Modality -> recipe that decodes and loads it; the modalities are columns of the
            table.
        class_names: Names of the classes, in the order of their indices; None: the labels that
            occur, in numerical order if all are numbers, else in alphabetical order.
        batch_size: Samples per batch on each rank.
        eval_batch_size: Samples per batch outside of training; None: ``batch_size``.
        num_workers: Number of loader processes; 0 loads in the main process.
        modalities: Modalities to decode and load; None: all that ``recipes`` names.
        optional_modalities: Modalities that a sample may lack, or whose file may be faulty, as long
            as it has another. Samples without one of the other ``modalities`` are left out.
        seed: Seed of the order of training samples, their views and the choice of ``labelled``.
        transforms: Modality -> module applied to its batch; others stay as the recipe loads them.
        labelled: Number of training samples that keep their label, the same number of each class as
            far as possible; the others get -100. None: all.
        balance: Draw training samples with replacement, such that all classes are equally frequent.
        val_fraction: Fraction of the training samples that becomes the validation split, if the
            table has none: the same fraction of each class, or whole groups with ``group``. None:
            the validation split of the table, which must exist.
        split_seed: Seed of this split.
        group: Column of the groups, such as speakers, that ``val_fraction`` keeps in one split;
            None: the samples have no groups.
        prepared: Folder of the prepared data; None: ``prepared`` in ``root``.
        prepare_workers: Number of decoding processes, 0: none; None: the CPUs that may be used.
        min_coverage: Smallest fraction of the samples of each split that must be usable.
        views: Name -> modality that the batch shows a second time under this name, so that a
            teacher may receive another view than a student of the same modality. ``recipes`` and
            ``transforms`` may name a view; it otherwise has those of the modality.
        lists: Folder of the table; None: ``root``.
        follow_links: Allow links in ``root`` and ``lists`` to files outside of them.
        compare: What distinguishes versions of a source file: ``"time"`` (size and modification
            time) or ``"content"`` (a hash).

    Shape:
        - batch[modality]: [N, ...], as the recipe documents; a list if the shapes of samples differ
        - batch["present"]: modality -> [N] bool, for the optional ones of ``modalities``
        - batch["label"]: [N] int64
        - batch["index"]: [N] int64, the row of the sample in the table, from 0

    Raises:
        ValueError: If an argument is out of range; once the table is read, if a row has an unknown
            split or label, the id of another row, a path that leaves the root, or too few cells.
        FileNotFoundError: Once the table is read, if there is no such file.
        CoverageError: In ``prepare_data``, if a split has fewer usable samples.

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
        lists: str | Path | None = None,
        follow_links: bool = False,
        compare: Compare = "time",
    ) -> None:
        if class_names is not None:
            if isinstance(class_names, str):
                raise ValueError(f"class_names={class_names!r} must be a list of names")
            if len(set(class_names)) < len(class_names):
                raise ValueError(f"class_names={list(class_names)} contains a name twice")
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
            lists,
            follow_links,
            compare,
        )
        self.table = table
        self.group = group

    def read_samples(self) -> list[Sample]:
        """Read the rows of the table."""
        columns = [modality for modality in self.modalities if modality not in self.views]
        path = self.find_list(self.table, advice="correct table, lists or root")
        return read_table(path, columns, self.group)
