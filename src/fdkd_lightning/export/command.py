"""``fdkd export``: write the student of a run on its own."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.export.base import ExportError, class_path
from fdkd_lightning.export.run_facts import gather_facts
from fdkd_lightning.export.student import FILES, FORMATS, check_formats, export_student
from fdkd_lightning.export.study_scores import read_scores
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.first_batch import FirstBatch
from fdkd_lightning.training.parser.exception_text import message_of
from fdkd_lightning.training.probe import class_names_of, modality_input
from fdkd_lightning.training.unimodal import UnimodalModule

ALL = ",".join(FORMATS)


class Exporter(Trainer):
    """Lightning's trainer with the method behind ``fdkd export``."""

    config: dict[str, Any]
    """The command's configuration in plain values."""

    def export(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        formats: list[str] | str = ALL,
        folder: str | None = None,
        study: str | None = None,
        include_transform: bool = False,
        weights_only: bool | None = None,
    ) -> None:
        """Write a trained student on its own, and compare the files with it.

        Args:
            model: The module.
            datamodule: The data module; two of its test samples are the example input.
            ckpt_path: ``best``, ``last`` or the path of a checkpoint; None: ``best``.
            formats: Formats: a list, or names separated by commas.
            folder: Folder to write; None: ``export`` in the run's folder. An earlier export in it
                is replaced.
            study: Folder of the study that the run belongs to: the card then states mean and
                standard deviation over the study's seeds.
            include_transform: Begin the graphs with the data's transform of the student's
                modality, such as a spectrogram; they then take waveforms.
            weights_only: Accepted because saved configurations contain it. Only weights are read
                in any case.
        """
        if not isinstance(model, UnimodalModule):
            raise ExportError(
                f"{type(model).__name__} is no UnimodalModule or DistillationModule: call "
                "fdkd_lightning.export_student with its network instead"
            )
        assert ckpt_path is not None  # the command line sets it
        names = formats.strip("[]").split(",") if isinstance(formats, str) else formats
        checked = check_formats([name.strip(" '\"") for name in names])
        checkpoint, root = Path(ckpt_path), Path(self.default_root_dir)
        PretrainedModel(model.model, checkpoint).load()
        loading = getattr(datamodule, "loading_arguments", ())
        facts = gather_facts(self.config, root, checkpoint, loading)
        if study is not None:
            facts = replace(facts, study=read_scores(Path(study), root.resolve().name))
        example, transform, meaning = _example(datamodule, model.modality, include_transform)
        written = export_student(
            model,
            root / "export" if folder is None else Path(folder),
            example,
            checked,
            network=_network(self.config["model"]),
            transform=transform,
            class_names=class_names_of(datamodule),
            meaning=meaning,
            facts=facts,
        )
        count = sum(p.numel() for p in model.model.parameters())
        print(f"{type(model.model).__name__}, {count:,} parameters, from {checkpoint}")
        print(*written, sep="\n")
        if "hub" in checked:
            target = written[0].path.parent
            if others := sorted({path.name for path in target.iterdir()} - {*FILES}):
                print(f"not of this export, and published with it: {', '.join(others)}")
            print(f"to publish it: hf upload USER/NAME {target}")


class ExportCLI(FDKDCLI):
    """The command line of ``fdkd export``, with the arguments of ``fdkd fit``."""

    trainer_type = Exporter

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Name the one command, and its arguments that the configuration gives."""
        return {"export": {"model", "datamodule"}}

    def before_export(self) -> None:
        """Give the trainer the configuration, for the card and ``config.json``."""
        text = self.parser.dump(self.config, skip_unset=False, format="json")
        assert isinstance(self.trainer, Exporter)
        self.trainer.config = json.loads(text)["export"]


def export(args: Sequence[str] | None = None) -> None:
    """Run ``fdkd export``.

    Args:
        args: The arguments, ``export`` first; None: those of the process.

    Raises:
        SystemExit: With a message, if the student cannot be exported.
    """
    try:
        ExportCLI(args)
    except (ValueError, KeyError, OSError) as error:
        raise SystemExit(f"fdkd export: {message_of(error)}") from error


def _network(model: dict[str, Any]) -> dict[str, Any] | None:
    """Class path and arguments of the network, if it is an argument of the module."""
    arguments = model.get("init_args") or {}
    spec = arguments.get("student") or arguments.get("model")
    return spec if isinstance(spec, dict) and "class_path" in spec else None


def _example(
    data: LightningDataModule, modality: str, include_transform: bool
) -> tuple[Any, nn.Module | None, str]:
    """Two samples, the graphs' transform if wanted, and a description of the samples."""
    with isolate_rng():
        data.prepare_data()
        data.setup("test")
        batch = data.on_before_batch_transfer(FirstBatch(data.test_dataloader()).batch, 0)
        meaning = f"modality {modality!r} of {class_path(data)}{_read_by(data, modality)}"
        transforms: dict[str, nn.Module] = {}
        if isinstance(data, MultimodalDataModule):
            transforms = dict(data.transforms.items())
        if not include_transform:
            if modality in transforms:
                meaning += f" after its transform {class_path(transforms[modality])}"
            return modality_input(data.on_after_batch_transfer(batch, 0), modality), None, meaning
    if modality not in transforms:
        raise ExportError(
            f"include_transform=true, but {type(data).__name__} has no transform of {modality!r}: "
            "leave it out, and the graphs take the modality as the data module returns it"
        )
    return modality_input(batch, modality), transforms[modality], f"{meaning} before its transform"


def _read_by(data: LightningDataModule, modality: str) -> str:
    """Describe the recipe by which a file becomes the input; "" without one."""
    recipe = getattr(data, "recipes", {}).get(modality)
    if recipe is None:
        return ""
    plain = {k: v for k, v in vars(recipe).items() if isinstance(v, bool | int | float | str)}
    settings = ", ".join(f"{name}={value!r}" for name, value in plain.items())
    return f", read by {class_path(recipe)}({settings})"
