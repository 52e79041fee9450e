"""What a run left behind, gathered for the card of its student."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from jsonargparse import get_loader

from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.facts import RunFacts, StudyScores, Teacher
from fdkd_lightning.study.plan import run_slug
from fdkd_lightning.study.results import read_results

HANDLING = (
    "root",
    "prepared",
    "prepare_workers",
    "batch_size",
    "eval_batch_size",
    "num_workers",
    "modalities",
)
"""Arguments of data that say where and how they are read, not what they are."""


def gather_facts(
    config: Mapping[str, Any], root: Path, checkpoint: Path, study: Path | None = None
) -> RunFacts:
    """What is known of a student.

    The configuration that fit saved counts, and its own metrics; those of a test only if it was
    one of these weights, on the whole split of the same data.

    Args:
        config: The run's configuration as it was given; what is in the logs goes before.
        root: The run's folder, ``trainer.default_root_dir``.
        checkpoint: Of the student.
        study: The folder of a study that the run is one of.

    Raises:
        ExportError: If the run is none of the study's.
    """
    # Only numbers are looked at; a plain state dict has none.
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    epoch, step = content.get("epoch"), content.get("global_step")
    source = "the configuration that it was exported with; the run left no logs of these weights"
    metrics: dict[str, float] = {}
    for log, rows in _logs(root):
        trained = [row for row in rows if (row.get("epoch"), row.get("step")) == (epoch, step)]
        found = _named(trained, "val/")
        if found and step is not None:
            config, source = log, "the configuration that the run saved"
            metrics = found if _whole(log, "val") else {}
            break
    metrics = metrics | _study_result(root, checkpoint)
    for log, rows in _logs(root):
        found = _named(rows, "test/")
        # Beside training it may be of any weights: the last, the best or both.
        alone = not _named(rows, "train/")
        if found and alone and _whole(log, "test") and _is_of(log, root, checkpoint, config):
            metrics = metrics | found
            break
    arguments = config["model"].get("init_args") or {}
    return RunFacts(
        source=source,
        data=_told(config["data"]),
        module=config["model"]["class_path"],
        criterion=_told(arguments.get("criterion")),
        task_weight=arguments.get("task_weight", 1.0),
        teachers=tuple(
            _teacher(modality, spec, checkpoint)
            for modality, spec in (arguments.get("teachers") or {}).items()
        ),
        checkpoint=_weights(checkpoint, epoch, step),
        metrics=metrics,
        study=None if study is None else _study(study, root.resolve().name),
    )


def _logs(root: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, float]]]]:
    """Configuration and metrics of each start, the latest first."""
    for folder in sorted(root.glob("logs/version_*"), key=_number, reverse=True):
        files = folder / "config.yaml", folder / "metrics.csv"
        if not all(file.is_file() for file in files):
            continue
        config = get_loader("yaml")(files[0].read_text(encoding="utf-8"))
        config["written"] = files[1].stat().st_mtime
        with files[1].open(newline="") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
        for row in rows:
            # A step is logged by its number from 0, and counted when it is done.
            row["step"] = row.get("step", -1) + 1
        yield config, rows


def _number(folder: Path) -> int:
    number = folder.name.rpartition("_")[2]
    return int(number) if number.isdigit() else -1


def _named(rows: list[dict[str, float]], stage: str) -> dict[str, float]:
    return {name: v for row in rows for name, v in row.items() if name.startswith(stage)}


def _whole(config: Mapping[str, Any], stage: str) -> bool:
    trainer = config.get("trainer") or {}
    limit, trial = trainer.get(f"limit_{stage}_batches"), trainer.get("fast_dev_run")
    # An integer 1 is one batch.
    return (limit is None or (isinstance(limit, float) and limit == 1.0)) and not trial


def _is_of(log: Mapping[str, Any], root: Path, checkpoint: Path, config: Mapping[str, Any]) -> bool:
    """Whether a test was one of these weights, on these data."""
    wanted = str(log.get("ckpt_path") or "best")
    named = root / "checkpoints" / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
    if named.resolve() != checkpoint.resolve() or log["written"] < checkpoint.stat().st_mtime:
        return False
    return _same(log["data"]) == _same(config["data"])


def _study_result(root: Path, checkpoint: Path) -> dict[str, float]:
    """What a study found of these weights, where the run is one of a study."""
    path = root / "result.json"
    which = checkpoint.stem
    own = checkpoint.resolve() == (root / "checkpoints" / f"{which}.ckpt").resolve()
    if which not in ("best", "last") or not own or not path.is_file():
        return {}
    if path.stat().st_mtime < checkpoint.stat().st_mtime:
        return {}
    result = json.loads(path.read_text())
    return {f"test/{result['metric']}": result[f"test_{which}"]}


def _same(data: Mapping[str, Any]) -> str:
    arguments = {k: v for k, v in (data.get("init_args") or {}).items() if k not in HANDLING}
    return json.dumps([data["class_path"], arguments], sort_keys=True, default=str)


def _told(spec: Any) -> Any:
    """A class path and the arguments that were given, without folders."""
    if isinstance(spec, str):
        return _shown(spec)
    if isinstance(spec, list):
        return [_told(entry) for entry in spec]
    if not isinstance(spec, Mapping):
        return spec
    left = {k: _told(v) for k, v in spec.items() if v is not None and k not in HANDLING}
    return {k: v for k, v in left.items() if v != {}}


def _shown(text: str) -> str:
    """A text; of a path that is of this machine alone, what it ends in."""
    for path in (PurePosixPath(text), PureWindowsPath(text)):
        if path.is_absolute() or text.startswith("~"):
            return path.name or text
    return text


def _teacher(modality: str, spec: Mapping[str, Any], student: Path) -> Teacher:
    arguments = spec.get("init_args") or {}
    inner = arguments.get("model") if "checkpoint" in arguments else None
    network = (inner or spec)["class_path"]
    if not arguments.get("checkpoint"):
        return Teacher(modality, network)
    path = Path(arguments["checkpoint"])
    shown = _shown(arguments["checkpoint"])
    if not path.is_file():
        return Teacher(modality, network, shown)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    changed = path.stat().st_mtime > student.stat().st_mtime
    return Teacher(modality, network, shown, digest, changed)


def _weights(checkpoint: Path, epoch: int | None, step: int | None) -> str:
    if epoch is None or step is None:
        return f"`{checkpoint.name}`, which does not say how long it was trained"
    return f"`{checkpoint.name}`, after {_count(epoch + 1, 'epoch')}, {_count(step, 'step')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _study(folder: Path, run: str) -> StudyScores:
    settings, rows = read_results(folder)
    slug = run.rpartition("-")[0]
    own = [
        row
        for row in rows
        if run_slug(row.method, row.direction, row.regime, row.tuned, row.seed) == slug
    ]
    if len(own) != 1:
        raise ExportError(
            f"study={str(folder)!r} has no run {run!r}: its runs are in {folder / 'runs'}; export "
            "one by its own configuration (--config RUN/logs/version_0/config.yaml)"
        )
    [row] = own
    alike = [
        other
        for other in rows
        if (other.method, other.direction, other.regime, other.tuned)
        == (row.method, row.direction, row.regime, row.tuned)
    ]
    values = {r.seed: r.values[f"test_{settings['epoch']}"] for r in alike}
    return StudyScores(
        row.method, row.direction, row.regime, settings["metric"], settings["epoch"], values
    )
