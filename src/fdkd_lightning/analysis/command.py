"""``fdkd analyze``: whether a teacher has something to teach, and what distillation changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from fdkd_lightning.analysis.embedding import require_umap
from fdkd_lightning.analysis.loading.batches import collect
from fdkd_lightning.analysis.loading.figure_values import Material, write_figure_values
from fdkd_lightning.analysis.loading.students import load_students
from fdkd_lightning.analysis.loading.teacher_row import class_row, pair_row, student_row
from fdkd_lightning.analysis.teacher_table import write_table
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_choice, check_count, check_range
from fdkd_lightning.ops.optional import require
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.probe import class_names_of

Figure = Literal[
    "tsne", "umap", "bands", "layers", "gradients", "confusion", "calibration", "cutoff"
]
DEFAULT_FIGURES: tuple[Figure, ...] = ("bands", "confusion", "calibration")
"""These need no further run of a network."""
SPLITS = ("train", "val")
"""The test split is for the judgement of what was decided without it."""


class Analyzer(Trainer):
    """Lightning's trainer with the method behind ``fdkd analyze``."""

    folder: Path
    """The folder that was written."""

    def analyze(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        student_checkpoint: str | None = None,
        folder: str | None = None,
        threshold: float = 0.5,
        max_pairs: int = 2000,
        students: dict[str, str] | None = None,
        figures: Sequence[Figure] = DEFAULT_FIGURES,
        embedded_pairs: int = 300,
        layers: dict[str, list[str]] | None = None,
        gradient_batches: int = 8,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Measure what each teacher shares with the student, and the student's headroom.

        Nothing is trained but linear maps. The statistics are computed from the pairs of the
        training and validation splits that have a label, since they remove the mean of each class;
        unlabelled pairs take no part. Where the data module knows groups, such as people, one R²
        is for new groups: no group is in two folds. The test split is not read.

        Args:
            model: The ``DistillationModule``.
            datamodule: Its data module.
            student_checkpoint: A checkpoint of the student trained without teacher; None: the
                student as the configuration makes it, whose accuracy is then not measured.
            folder: Folder to write; None: ``analysis`` in the run's folder.
            threshold: Cut-off frequency of the bands.
            max_pairs: Most pairs to compare; of more, so many are drawn.
            students: Name -> checkpoint of a student, such as a distilled one, for the figures;
                they have the architecture of the configuration's student.
            figures: The figures to make beside the table's: ``tsne``, ``umap``, ``bands``,
                ``layers``, ``gradients``, ``confusion``, ``calibration``, ``cutoff``.
            embedded_pairs: Most validation pairs of t-SNE and UMAP.
            layers: Modality -> layers whose CKA is computed, as ``Layers`` names them; of others
                the outermost layers.
            gradient_batches: Number of training batches for ``gradients``.
            ckpt_path: Accepted because saved configurations contain it; it must be empty.
            weights_only: Accepted likewise. Only weights are read in any case.
        """
        check_range("threshold", threshold, above=0, below=1, example=0.5)
        check_count("max_pairs", max_pairs, example=2000)
        check_count("embedded_pairs", embedded_pairs, example=300)
        check_count("gradient_batches", gradient_batches, example=8)
        _check_figures(figures)
        if ckpt_path is not None:
            raise ValueError(
                f"ckpt_path={ckpt_path!r}: fdkd analyze reads no distilled student; give the one "
                "trained without teacher as --student_checkpoint"
            )
        if not isinstance(model, DistillationModule):
            raise ValueError(
                f"{type(model).__name__} has no teacher to analyze: give the configuration of a "
                "DistillationModule"
            )
        if not model.teachers:
            raise ValueError("teachers={} leaves nothing to analyze: name at least one teacher")
        if not isinstance(model.task, OneClassTask):
            raise ValueError(
                f"task_loss {model.task.title()}: fdkd analyze compares pairs beyond their class, "
                "and needs one class per sample"
            )
        student, shown = load_students(model.model, student_checkpoint, students or {})
        model.teachers.load()
        networks = {"student": (model.modality, student)}
        networks |= {f"{name} teacher": (name, model.teachers[name]) for name in model.teachers}
        networks |= {each.name: (model.modality, each.network) for each in shown}
        datamodule.prepare_data()
        datamodule.setup("fit")
        for _, network in networks.values():
            network.to(self.strategy.root_device).eval()
        splits = {split: collect(datamodule, split, networks, self) for split in SPLITS}
        names = [str(name) for name in class_names_of(datamodule)]
        rows = []
        for teacher in model.teachers:
            if self.progress_bar_callback is not None:
                print(f"comparing {teacher} and {model.modality} ...", flush=True)
            rows.append(
                {"teacher": teacher, "student": model.modality}
                | pair_row(splits, f"{teacher} teacher", threshold, max_pairs)
                | class_row(splits, f"{teacher} teacher", model.teachers[teacher], names)
                | student_row(splits["val"], student_checkpoint)
            )
        self.folder = Path(self.default_root_dir) / "analysis" if folder is None else Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        material = Material(
            module=model,
            data=datamodule,
            trainer=self,
            students=shown,
            splits=splits,
            class_names=names,
            max_pairs=max_pairs,
            embedded_pairs=embedded_pairs,
            layers=layers or {},
            gradient_batches=gradient_batches,
        )
        made = write_figure_values(self.folder, figures, material)
        settings = {
            "splits": [*SPLITS],
            "threshold": threshold,
            "classes": names,
            "students": {each.label: each.checkpoint for each in shown},
            "figures": made,
        }
        write_table(self.folder, rows, settings)


class AnalyzeCLI(FDKDCLI):
    """The command line of ``fdkd analyze``, with the arguments of ``fdkd fit``."""

    trainer_type = Analyzer
    reads_checkpoint = False

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Name the one command, and its arguments that the configuration gives."""
        return {"analyze": {"model", "datamodule"}}


def analyze(args: Sequence[str] | None = None) -> Path:
    """Run ``fdkd analyze``, and return the folder with ``analysis.csv`` and ``analysis.json``.

    Args:
        args: The arguments, ``analyze`` first; None: those of the process.

    Raises:
        ValueError, TypeError, KeyError, OSError: If networks and data cannot be compared.
    """
    trainer = AnalyzeCLI(args).trainer
    assert isinstance(trainer, Analyzer)
    return trainer.folder


def _check_figures(figures: Sequence[str]) -> None:
    """Raise before anything runs if a figure is unknown or needs a package that is missing."""
    for name in figures:
        check_choice("figures", name, get_args(Figure))
    if "tsne" in figures:
        require("sklearn.manifold", extra="tsne", purpose="t-SNE")
    if "umap" in figures:
        require_umap()
