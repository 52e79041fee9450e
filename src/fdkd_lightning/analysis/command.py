"""``fdkd analyze``: before anything is distilled, whether a teacher has something to teach."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from fdkd_lightning.analysis.collected import Collector, Split
from fdkd_lightning.analysis.labelled_pairs import labelled_pairs
from fdkd_lightning.analysis.linear_classifier import probe_accuracy
from fdkd_lightning.analysis.pair_statistics import compare_pairs
from fdkd_lightning.analysis.table import write_table
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.collate import collate
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.models.pretrained import PretrainedModel, load_pretrained
from fdkd_lightning.ops.checks import check_count, check_range
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.checkpoint_description import describe_checkpoint
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.missing_modality import present_mask, select
from fdkd_lightning.training.probe import (
    as_output,
    batch_target,
    check_target,
    class_names_of,
    modality_input,
)
from fdkd_lightning.training.run_network import run_network
from fdkd_lightning.types import IGNORE_INDEX

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
            ckpt_path: Accepted because saved configurations contain it; it must be empty.
            weights_only: Accepted likewise. Only weights are read in any case.
        """
        check_range("threshold", threshold, above=0, below=1, example=0.5)
        check_count("max_pairs", max_pairs, example=2000)
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
        if student_checkpoint is not None:
            PretrainedModel(model.model, Path(student_checkpoint)).load()
        else:
            load_pretrained(model.model)
        model.teachers.load()
        networks = {"student": (model.modality, model.model)}
        networks |= {f"{name} teacher": (name, model.teachers[name]) for name in model.teachers}
        datamodule.prepare_data()
        datamodule.setup("fit")
        for _, network in networks.values():
            network.to(self.strategy.root_device).eval()
        is_quiet = self.progress_bar_callback is None
        splits = {
            split: _collect(datamodule, split, networks, self.strategy.root_device, is_quiet)
            for split in SPLITS
        }
        names = [str(name) for name in class_names_of(datamodule)]
        rows = []
        for teacher in model.teachers:
            if not is_quiet:
                print(f"comparing {teacher} and {model.modality} ...", flush=True)
            rows.append(
                {"teacher": teacher, "student": model.modality}
                | _pair_row(splits, f"{teacher} teacher", threshold, max_pairs)
                | _class_row(splits, f"{teacher} teacher", model.teachers[teacher], names)
                | _student_row(splits["val"], student_checkpoint)
            )
        self.folder = Path(self.default_root_dir) / "analysis" if folder is None else Path(folder)
        write_table(
            self.folder, rows, {"splits": [*SPLITS], "threshold": threshold, "classes": names}
        )


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


def _loaders(data: LightningDataModule, split: str) -> list[Any]:
    """Loaders of a split; those of our data modules give each sample once, in its first view."""
    if isinstance(data, MultimodalDataModule):
        dataset, size = data.datasets[split], data.eval_batch_size
        return [DataLoader(dataset, size, num_workers=data.num_workers, collate_fn=collate)]
    loaders = data.train_dataloader() if split == "train" else data.val_dataloader()
    return CombinedLoader(loaders, "sequential").flattened


def _batches(
    data: LightningDataModule, split: str, device: torch.device, is_quiet: bool
) -> Iterator[Any]:
    for loader in _loaders(data, split):
        for batch in tqdm(loader, f"features of {split}", disable=is_quiet, unit="batch"):
            moved = move_data_to_device(data.on_before_batch_transfer(batch, 0), device)
            yield data.on_after_batch_transfer(moved, 0)


@torch.no_grad()
def _collect(
    data: LightningDataModule,
    split: str,
    networks: Mapping[str, tuple[str, nn.Module]],
    device: torch.device,
    is_quiet: bool,
) -> Split:
    """Run all networks over a split."""
    collector = Collector(networks)
    for batch in _batches(data, split, device, is_quiet):
        label = batch_target(batch)
        for name, (modality, network) in networks.items():
            x, present = modality_input(batch, modality), present_mask(batch, modality)
            if present is None:
                present = torch.ones(len(label), dtype=torch.bool)
            elif present.any():
                x = select(x, present, modality)
            else:
                continue
            output = as_output(run_network(network, cast_to_model_dtype(network, x)))
            collector.add(name, output, present)
            if name == "student":
                check_target(OneClassTask(), label[present], output.logits)
        collector.end_batch(label)
    return collector.join(data.groups(split) if isinstance(data, MultimodalDataModule) else None)


def _pair_row(
    splits: Mapping[str, Split], teacher: str, threshold: float, max_pairs: int
) -> dict[str, Any]:
    first, second, label, groups = labelled_pairs([*splits.values()], teacher, "student", max_pairs)
    return asdict(compare_pairs(first, second, label, groups, threshold))


def _class_row(
    splits: Mapping[str, Split], name: str, teacher: nn.Module, names: list[str]
) -> dict[str, Any]:
    """The teacher's accuracy, that of a probe on its features, and that of the largest class."""
    train, val = splits["train"], splits["val"]
    label = val.label[val.label != IGNORE_INDEX]
    classes = len(names) or val.outputs["student"].logits.shape[1]
    known = [*getattr(teacher, "class_names", ())]
    knows = known == names if known and names else val.outputs[name].logits.shape[1] == classes
    stored = None
    if not knows and isinstance(teacher, PretrainedModel):
        validation = describe_checkpoint(teacher.checkpoint)["validation"] or {}
        stored = validation.get("metrics", {}).get("val/accuracy")
    return {
        "teacher_knows_classes": knows,
        # Of other classes: the validation accuracy that its checkpoint states.
        "teacher_accuracy": val.accuracy(name) if knows else stored,
        "probe_accuracy": probe_accuracy(
            train.outputs[name].features,
            train.labels_of(name),
            val.outputs[name].features,
            val.labels_of(name),
            classes,
        ),
        "probe_labels": int((train.labels_of(name) != IGNORE_INDEX).sum()),
        "chance": float(label.bincount().max() / len(label)),
    }


def _student_row(val: Split, checkpoint: str | None) -> dict[str, Any]:
    accuracy = None if checkpoint is None else val.accuracy("student")
    return {
        "student_checkpoint": checkpoint,
        "student_accuracy": accuracy,
        "headroom": None if accuracy is None else 1 - accuracy,
    }
