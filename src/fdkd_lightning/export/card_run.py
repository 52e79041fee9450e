"""The sections of a model card about training and results."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

import yaml

from fdkd_lightning.export.run_facts import RunFacts, StudyScores, Teacher, count
from fdkd_lightning.training.run.redaction import redact


def training_section(facts: RunFacts) -> list[str]:
    """Write how the student was trained, in paragraphs of Markdown."""
    parts = [f"## Training\n\nSource: {facts.source}.", f"Data:\n\n{_yaml(facts.data)}"]
    loss = "cross-entropy" if facts.task_loss is None else "task loss"
    if facts.criterion is None:
        parts.append(f"Method: {loss} with the labels alone (`{facts.module}`).")
    else:
        task = f"without {loss} with the labels"
        if facts.task_weight is not None:
            task = f"with the labels' {loss}, weight {facts.task_weight:g}"
        parts.append(f"Method (`{facts.module}`), {task}:\n\n{_yaml(facts.criterion)}")
    if facts.task_loss is not None:
        parts.append(f"Task loss:\n\n{_yaml(facts.task_loss)}")
    parts += [_teacher(teacher) for teacher in facts.teachers]
    if facts.checkpoint:
        parts.append(f"Weights: {facts.checkpoint}.")
    if facts.fit is not None:
        parts.append(_environment(facts.fit))
    return parts


def results_section(facts: RunFacts) -> list[str]:
    """Write the metrics of the student, in paragraphs of Markdown."""
    parts = ["## Results"]
    if facts.metrics:
        lines = [f"| {name} | {value:.4f} |" for name, value in facts.metrics.items()]
        parts.append("\n".join(["| metric of these weights | value |", "|---|---|", *lines]))
    else:
        parts.append("No metric is recorded for these weights.")
    return parts if facts.study is None else [*parts, _study(facts.study)]


def _teacher(teacher: Teacher) -> str:
    text = f"Teacher of modality {teacher.modality}: `{teacher.network}`"
    if teacher.checkpoint is None:
        return f"{text}; the configuration names no checkpoint."
    text += f", checkpoint `{teacher.checkpoint}`"
    if teacher.sha256 is None:
        return f"{text}, whose hash was not recorded."
    return f"{text}, sha256 `{teacher.sha256}`."


def _environment(fit: Mapping[str, Any]) -> str:
    """Seed, hardware, duration, versions and data coverage."""
    lasted = "not finished"
    if fit["finished"] is not None:
        lasted = f"{count(fit['epochs'], 'epoch')} in {fit['seconds']:g} s"
    versions = ", ".join(f"{name} {version}" for name, version in fit["versions"].items())
    commit = "" if fit["commit"] is None else f" Commit of the working folder: `{fit['commit']}`."
    text = (
        f"Run: {lasted}, seed {fit['seed']}, {count(fit['ranks'], 'rank')}, {fit['device']}, "
        f"precision {fit['precision']}. Versions: {versions}.{commit}"
    )
    if fit["coverage"] is None:
        return text
    rows = [
        f"| {split} | {', '.join(f'{status} {n}' for status, n in statuses.items())} |"
        for split, statuses in fit["coverage"].items()
    ]
    return "\n".join([f"{text}\n\n| split | samples by status |", "|---|---|", *rows])


def _study(study: StudyScores) -> str:
    values = [*study.values.values()]
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    weights_of = "last epoch" if study.epoch == "last" else "epoch with the best validation score"
    return (
        f"In a study, {study.method} ({study.direction}, {study.regime}) reaches test "
        f"{study.metric} {math.fsum(values) / len(values):.4f}{deviation}, "
        f"n = {count(len(values), 'seed')} ({', '.join(map(str, study.values))}): mean and "
        f"standard deviation over seeds, weights of the {weights_of}. This student is one of them."
    )


def _yaml(content: Any) -> str:
    return f"```yaml\n{yaml.safe_dump(redact(content), sort_keys=False)}```"
