"""Collect what a model card states about a run, from ``run.json`` and the checkpoint."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fdkd_lightning.training.run.checkpoint_description import describe_checkpoint
from fdkd_lightning.training.run.provenance import describe_data
from fdkd_lightning.training.run.redaction import redact
from fdkd_lightning.training.run.run_record import read_run


@dataclass(frozen=True)
class Teacher:
    """A teacher of the run; its hash is that of the file when training began, None: unknown."""

    modality: str
    network: str
    checkpoint: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class StudyScores:
    """Test scores of a study's runs that differ in the seed alone: seed -> score."""

    method: str
    direction: str
    regime: str
    metric: str
    epoch: str
    values: dict[int, float]


@dataclass(frozen=True)
class RunFacts:
    """Facts about a run that its model card states.

    Args:
        source: Where the configuration was read from, in words.
        data: Class path and arguments of the data module.
        module: Class path of the LightningModule.
        criterion: Class path and arguments of the distillation criterion; None: there is none.
        task_weight: Weight of the labels' loss; None: it is not used.
        task_loss: Class path and arguments of that loss; None: cross-entropy.
        teachers: The teachers.
        checkpoint: File name and, if known, epochs and steps.
        metrics: Name, such as ``test/accuracy``, -> value of the exported weights.
        fit: The entry ``fit`` of ``run.json``; None: not recorded for these weights.
        study: Scores over the seeds of a study.
    """

    source: str
    data: dict[str, Any]
    module: str
    criterion: dict[str, Any] | None = None
    task_weight: float | None = 1.0
    task_loss: dict[str, Any] | None = None
    teachers: tuple[Teacher, ...] = ()
    checkpoint: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    fit: Mapping[str, Any] | None = None
    study: StudyScores | None = None


def gather_facts(
    config: Mapping[str, Any], root: Path, checkpoint: Path, loading: Collection[str] = ()
) -> RunFacts:
    """Collect what is recorded about a student's training and evaluation.

    Metrics count if they were measured on the whole split of the same data, with the weights of
    this checkpoint.

    The configuration given at export counts for a checkpoint that ``run.json`` does not list.
    """
    record = read_run(root) or {"fit": None, "checkpoints": {}, "evaluations": []}
    found = describe_checkpoint(checkpoint)
    source, fit = _origin(record, found["sha256"], root, checkpoint)
    if fit is not None:
        config = fit["config"]
    data = describe_data(config["data"], loading) if fit is None else fit["data"]
    arguments = config["model"].get("init_args") or {}
    weights = {} if fit is None else fit["weights"]
    return RunFacts(
        source=source,
        data=_without_none(data),
        module=config["model"]["class_path"],
        criterion=_without_none(redact(arguments.get("criterion"))),
        task_weight=arguments.get("task_weight", 1.0),
        task_loss=_without_none(redact(arguments.get("task_loss"))),
        teachers=tuple(
            _teacher(modality, spec, weights.get(f"teachers.{modality}"))
            for modality, spec in (arguments.get("teachers") or {}).items()
        ),
        checkpoint=_describe_weights(checkpoint.name, found["epoch"], found["step"]),
        metrics=_metrics(record, found, data),
        fit=fit,
    )


def _origin(
    record: Mapping[str, Any], sha256: str, root: Path, checkpoint: Path
) -> tuple[str, Mapping[str, Any] | None]:
    """Where the configuration comes from, and the entry of the fit that wrote the checkpoint."""
    fit = record["fit"]
    if fit is None:
        return (
            "the configuration given at export: the run's folder holds no record of the training "
            "(run.json, which fdkd fit writes)",
            None,
        )
    if any(entry["sha256"] == sha256 for entry in record["checkpoints"].values()):
        return "run.json, the run's own record", fit
    if fit["finished"] is None and root.resolve() in checkpoint.resolve().parents:
        return "run.json, the run's own record; the run had not finished", fit
    return "the configuration given at export: run.json does not list this checkpoint", None


def _metrics(
    record: Mapping[str, Any], found: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, float]:
    validation = found["validation"]
    metrics: dict[str, float] = {}
    if validation is not None and validation["whole_split"]:
        metrics |= validation["metrics"]
    hashes = {entry["sha256"]: entry["step"] for entry in record["checkpoints"].values()}
    # best.ckpt and last.ckpt of one step are two files with the same weights.
    same = {found["sha256"]}
    if found["sha256"] in hashes:
        same |= {sha256 for sha256, step in hashes.items() if step == found["step"]}
    for entry in record["evaluations"]:
        tested = entry["checkpoint"] or {}
        if entry["whole_split"] and entry["data"] == data and tested.get("sha256") in same:
            metrics |= entry["metrics"]
    return metrics


def _teacher(modality: str, spec: Mapping[str, Any], file: Mapping[str, str] | None) -> Teacher:
    arguments = spec.get("init_args") or {}
    checkpoint = arguments.get("checkpoint")
    network = (arguments.get("model") if checkpoint else None) or spec
    return Teacher(
        modality,
        network["class_path"],
        redact(checkpoint) if checkpoint else None,
        None if file is None else file["sha256"],
    )


def _without_none(spec: Any) -> Any:
    """Leave out the arguments that were not given."""
    if isinstance(spec, list):
        return [_without_none(entry) for entry in spec]
    if not isinstance(spec, Mapping):
        return spec
    kept = {name: _without_none(value) for name, value in spec.items() if value is not None}
    return {name: value for name, value in kept.items() if value != {}}


def _describe_weights(name: str, epoch: int | None, step: int | None) -> str:
    if epoch is None or step is None:
        return f"`{name}`, which does not state how long it was trained"
    return f"`{name}`, after {count(epoch + 1, 'epoch')}, {count(step, 'step')}"


def count(number: int, what: str) -> str:
    """A number and what it counts."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
