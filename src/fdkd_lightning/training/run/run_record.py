"""``run.json``: what was trained and evaluated, for the model card, the study and the report."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.training.run.checkpoint_description import RECORD_KEY, describe_checkpoint
from fdkd_lightning.training.run.provenance import (
    describe_data,
    git_commit,
    package_versions,
    weight_files,
)
from fdkd_lightning.training.run.redaction import redact, redact_argument

RECORD = "run.json"
VERSION = 1
"""Format of the file; it changes when a reader of the previous format would misread it."""


class RunRecord(Callback):
    """Write ``run.json`` into the trainer's ``default_root_dir``.

    ``fit`` replaces the file when it starts and completes it when it ends; an evaluation adds an
    entry and leaves the rest as it is. Rank 0 writes, and the file is replaced in one step.
    Evaluations of one run must not run at the same time. Nothing is written with ``fast_dev_run``.

    ==================  =====================================================================
    ``fit``             ``config``, ``command``, ``data`` (without arguments about loading),
                        ``coverage`` (split -> status, or ``used``, -> samples, from the data
                        module's attribute of that name), ``weights`` (files read, with
                        sha256), ``seed``, ``versions``, ``commit``, ``ranks``, ``device``,
                        ``precision``, ``wandb_id`` (null without W&B), ``resumed_from``,
                        ``started``, ``finished``, ``seconds``, ``epochs``, ``steps``; those of
                        the end are null until fit has finished
    ``checkpoints``     name -> ``file``, ``sha256``, ``epoch``, ``step``, ``validation``
    ``evaluations``     ``split``, ``checkpoint`` (as above; null for weights in memory),
                        ``metrics``, ``whole_split``, ``data``, ``command``, ``finished``
    ==================  =====================================================================

    Paths, names and secrets are taken out, see
    :func:`~fdkd_lightning.training.run.redaction.redact`. The validation metrics of a
    checkpoint are kept in the checkpoint itself.
    """

    def __init__(
        self, parser: LightningArgumentParser, config: Namespace, command: Sequence[str]
    ) -> None:
        self.parser = parser
        self.config = config
        self.command = [redact_argument(text) for text in command]
        self._start = 0.0
        self._record: dict[str, Any] = {}
        self._validation: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the record of an earlier fit."""
        self._start = time.perf_counter()
        if not _writes(trainer):
            return
        config = self._plain_config()
        device = trainer.strategy.root_device
        resumed = _loaded(trainer)
        earlier = None if resumed is None else read_run(trainer.default_root_dir)
        fit = {
            "command": self.command,
            "config": redact(config),
            "data": describe_data(config["data"], _loading(trainer)),
            "coverage": getattr(_datamodule(trainer), "coverage", None),
            "weights": dict(weight_files(config["model"])),
            "seed": config.get("seed_everything"),
            "versions": package_versions(),
            "commit": git_commit(Path.cwd()),
            "ranks": trainer.world_size,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "precision": str(trainer.precision),
            "wandb_id": _wandb_id(trainer),
            "resumed_from": resumed,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "finished": None,
            "seconds": None,
            "epochs": None,
            "steps": None,
        }
        evaluations = [] if earlier is None else earlier["evaluations"]
        self._record = {"fit": fit, "checkpoints": {}, "evaluations": evaluations}
        _write(trainer, self._record)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the metrics for the checkpoints of this step, or record the evaluation."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._record_evaluation(trainer, "val", trainer.limit_val_batches)
        elif not trainer.sanity_checking:
            self._validation = {
                "step": trainer.global_step,
                "whole_split": _is_whole(trainer.limit_val_batches),
                "metrics": _metrics(trainer, "val"),
            }

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the evaluation."""
        self._record_evaluation(trainer, "test", trainer.limit_test_batches)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the checkpoints, and that fit has finished."""
        if not _writes(trainer):
            return
        record = self._record
        record["fit"] |= {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._start, 1),
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
        }
        record["checkpoints"] = {
            path.stem: {"file": path.name, **describe_checkpoint(path)}
            for path in _checkpoint_files(trainer)
        }
        _write(trainer, record)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say how a fit goes on that a signal ended."""
        is_signal = isinstance(exception, SIGTERMException | KeyboardInterrupt)
        if not is_signal or trainer.state.fn != TrainerFn.FITTING or not _writes(trainer):
            return
        for path in _checkpoint_files(trainer):
            if path.stem == "last":
                text = "the same command with --ckpt_path=last goes on from"
                print(f"interrupted in step {trainer.global_step}: {text} {path}")

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint."""
        return RECORD_KEY

    def state_dict(self) -> dict[str, Any]:
        """Return the latest validation, which each checkpoint carries."""
        return {} if self._validation is None else {"validation": self._validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the validation of the checkpoint that training resumes from."""
        self._validation = state_dict.get("validation")

    def _record_evaluation(self, trainer: Trainer, split: str, limit: float) -> None:
        if not _writes(trainer):
            return
        entry = {
            "split": split,
            "checkpoint": _loaded(trainer),
            "metrics": _metrics(trainer, split),
            "whole_split": _is_whole(limit),
            "data": describe_data(self._plain_config()["data"], _loading(trainer)),
            "command": self.command,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        record = read_run(trainer.default_root_dir)
        if record is None:
            record = {"fit": None, "checkpoints": {}, "evaluations": []}
        record["evaluations"].append(entry)
        _write(trainer, record)

    def _plain_config(self) -> dict[str, Any]:
        text = self.parser.dump(self.config, skip_unset=False, skip_validation=True, format="json")
        config: dict[str, Any] = json.loads(text)
        return config


def read_run(folder: str | Path) -> dict[str, Any] | None:
    """Read the record of the run in a folder.

    Returns:
        The content of ``run.json``; None: there is no such file.

    Raises:
        ValueError: If the file is damaged or has another format.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    record = read_json(path, "delete it, and the card and evaluations do without")
    if record.get("version") != VERSION:
        raise ValueError(
            f"{path} has format version {record.get('version')!r}, and this package reads "
            f"{VERSION}: use the package version that wrote it"
        )
    return record


def _loading(trainer: Trainer) -> tuple[str, ...]:
    return tuple(getattr(_datamodule(trainer), "loading_arguments", ()))


def _wandb_id(trainer: Trainer) -> str | None:
    loggers = (logger for logger in trainer.loggers if isinstance(logger, WandbLogger))
    return next((str(logger.version) for logger in loggers if logger.version), None)


def _datamodule(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)


def _loaded(trainer: Trainer) -> dict[str, Any] | None:
    """The checkpoint that the trainer has loaded; None: none."""
    path = trainer.ckpt_path
    return None if path is None else {"file": Path(path).name, **describe_checkpoint(Path(path))}


def _writes(trainer: Trainer) -> bool:
    return trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]  # set later


def _write(trainer: Trainer, record: Mapping[str, Any]) -> None:
    path = Path(trainer.default_root_dir) / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as file:
        json.dump({"version": VERSION, **record}, file, indent=1, ensure_ascii=False)


def _checkpoint_files(trainer: Trainer) -> list[Path]:
    """The best file of each ModelCheckpoint, in their order."""
    callbacks = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    paths = [Path(c.best_model_path or c.format_checkpoint_name({})) for c in callbacks]
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def _metrics(trainer: Trainer, split: str) -> dict[str, float]:
    metrics = trainer.callback_metrics.items()
    return {name: float(value) for name, value in metrics if name.startswith(f"{split}/")}


def _is_whole(limit: float) -> bool:
    # An integer 1 is one batch.
    return isinstance(limit, float) and limit == 1.0
