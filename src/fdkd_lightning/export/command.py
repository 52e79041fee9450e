"""``fdkd export``: the student of a run, alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.export.base import ExportError, class_path
from fdkd_lightning.export.gather import gather_facts
from fdkd_lightning.export.student import FORMATS, check_formats, export_student
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.probe import modality_input, two_samples
from fdkd_lightning.training.unimodal import UnimodalModule


class Exporter(Trainer):
    """Lightning's trainer, which has one more thing to do with a module and its data."""

    config: dict[str, Any]

    def export(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        formats: str = ",".join(FORMATS),
        folder: str | None = None,
        study: str | None = None,
        include_transform: bool = False,
        weights_only: bool | None = None,
    ) -> None:
        """Write a trained student alone, and hold what is written against it.

        Args:
            model: The module.
            datamodule: Its data, of which two samples are the example; their files must be there.
            ckpt_path: ``best``, ``last`` or the path of a checkpoint; None: best.
            formats: Which, with commas between.
            folder: Where to write; None: ``export`` in the run's folder. An earlier export there
                is replaced.
            study: The folder of a study that the run is one of: the card then has mean and
                standard deviation over its seeds.
            include_transform: Begin the graphs with the data's transform of the student's
                modality, such as the spectrogram of waveforms that they then take.
            weights_only: A saved configuration has it; nothing but weights is read in any case.
        """
        if not isinstance(model, UnimodalModule):
            raise ExportError(
                f"{type(model).__name__} is no UnimodalModule or DistillationModule: give its "
                "network to fdkd_lightning.export_student"
            )
        assert ckpt_path is not None  # the command line has settled it
        wanted = check_formats([name.strip() for name in formats.split(",")])
        checkpoint, root = Path(ckpt_path), Path(self.default_root_dir)
        PretrainedModel(model.model, checkpoint).load()
        facts = gather_facts(self.config, root, checkpoint, None if study is None else Path(study))
        example, transform, meaning = _example(datamodule, model.modality, include_transform)
        written = export_student(
            model,
            root / "export" if folder is None else Path(folder),
            example,
            wanted,
            network=_network(self.config["model"]),
            transform=transform,
            class_names=getattr(datamodule, "class_names", ()),
            meaning=meaning,
            facts=facts,
        )
        count = sum(p.numel() for p in model.model.parameters())
        print(f"{type(model.model).__name__}, {count:,} parameters, from {checkpoint}")
        print(*written, sep="\n")
        if "hub" in wanted:
            print(f"to publish it: hf upload USER/NAME {written[0].path.parent}")


class ExportCLI(FDKDCLI):
    """The command line of ``fdkd export``, which reads what ``fdkd fit`` does."""

    trainer_type = Exporter

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The one command, and what the configuration gives it."""
        return {"export": {"model", "datamodule"}}

    def before_export(self) -> None:
        """Tell what the configuration says, of which the card and the weights' file tell."""
        said = self.parser.dump(self.config, skip_none=False, format="json")
        assert isinstance(self.trainer, Exporter)
        self.trainer.config = json.loads(said)["export"]


def export(args: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        args: The arguments, ``export`` first; None: those of the process.
    """
    try:
        ExportCLI(args)
    except (ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        raise SystemExit(f"fdkd export: {message}") from error


def _network(model: dict[str, Any]) -> dict[str, Any] | None:
    """Class path and arguments of the network, where the module gets it as an argument."""
    arguments = model.get("init_args") or {}
    found = arguments.get("student") or arguments.get("model")
    return found if isinstance(found, dict) and "class_path" in found else None


def _example(
    data: LightningDataModule, modality: str, include_transform: bool
) -> tuple[Any, nn.Module | None, str]:
    """Two samples, what the graphs are to begin with, and what the samples are."""
    with isolate_rng():
        data.prepare_data()
        data.setup("test")
        batch = data.on_before_batch_transfer(two_samples(data.test_dataloader()), 0)
        meaning = f"{modality!r} of {class_path(data)}"
        transforms: dict[str, nn.Module] = {}
        if isinstance(data, MultimodalDataModule):
            transforms = dict(data.transforms.items())
        if not include_transform:
            if modality in transforms:
                meaning += (
                    f" after its transforms[{modality!r}], {class_path(transforms[modality])}"
                )
            return modality_input(data.on_after_batch_transfer(batch, 0), modality), None, meaning
    if modality not in transforms:
        raise ExportError(
            f"include_transform=true, but {type(data).__name__} has no transform of {modality!r}: "
            "leave it out, the graphs take what the data give"
        )
    return modality_input(batch, modality), transforms[modality], f"{meaning} as it is stored"
