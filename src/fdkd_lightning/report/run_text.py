"""Sentences on a run: its training, its chosen epoch, its scores, its classes, its calibration."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fdkd_lightning.analysis.confusion import Confusion
from fdkd_lightning.report.class_scores import ClassRow
from fdkd_lightning.report.prediction_file import Predictions
from fdkd_lightning.report.run_files import RunFiles
from fdkd_lightning.report.run_log import not_finite

CAUTION = (
    "One run has neither an interval over seeds nor a control: whether a teacher helps is answered "
    "by fdkd study."
)


def setting_text(config: Mapping[str, Any] | None) -> str:
    """Return what was trained on what, from the configuration.

    Example:
        >>> model = {"class_path": "UnimodalModule", "init_args": {"modality": "audio"}}
        >>> setting_text({"model": model, "data": {"class_path": "mine.Data"}})
        'UnimodalModule; modality audio; data Data.'
    """
    if not config:
        return "The configuration is not known."
    model = config.get("model") or {}
    arguments = model.get("init_args") or {}
    criterion, teachers = arguments.get("criterion"), arguments.get("teachers")
    parts = [_class_name(model)]
    parts += [f"criterion {_class_name(criterion)}"] if criterion else []
    parts += [
        f"{name} {value}"
        for key, name in {"modality": "modality", "student_modality": "student"}.items()
        if isinstance(value := arguments.get(key), str)
    ]
    parts += [f"teachers {', '.join(teachers)}"] if teachers and isinstance(teachers, dict) else []
    parts += [f"data {_class_name(config['data'])}"] if config.get("data") else []
    return f"{'; '.join(parts)}."


def run_sentences(facts: RunFiles) -> list[str]:
    """Return the answer: training, chosen epoch, test scores, a constant prediction, a caution."""
    return [
        _training(facts),
        _validation(facts),
        *_tests(facts),
        *_constant(facts.predictions),
        CAUTION,
    ]


def divergence_sentences(facts: RunFiles) -> list[str]:
    """Return a sentence on each logged series with a value that is NaN or infinite."""
    return [
        f"{name} is {point.value} first at step {point.step}: the curve has a gap there."
        for name, point in not_finite(facts.series).items()
    ]


def class_sentences(
    predictions: Predictions, rows: Sequence[ClassRow], confusions: Sequence[Confusion]
) -> list[str]:
    """Return sentences on the accuracy of the classes and their most frequent confusion.

    Args:
        predictions: The predictions.
        rows: All classes.
        confusions: The classes that are taken for others, the most frequent first.
    """
    n = len(predictions.label)
    right = sum(row.right for row in rows)
    parts = [f"{right} of {n} labelled predictions are right ({100 * predictions.accuracy:.1f} %)."]
    known = [row for row in rows if row.samples]
    worst = min(known, key=lambda row: row.accuracy)
    best = max(known, key=lambda row: row.accuracy)
    if worst.accuracy < best.accuracy:
        parts.append(
            f"Of the classes {_of_class(best)} is predicted best, {_of_class(worst)} worst."
        )
    if confusions:
        first = confusions[0]
        [samples] = [row.samples for row in rows if row.name == first.label]
        parts.append(
            f"The most frequent confusion: {first.label} taken for {first.predicted} "
            f"({first.samples} of {samples})."
        )
    if len(known) < len(rows):
        parts.append(f"Classes without a labelled sample: {len(rows) - len(known)} of {len(rows)}.")
    if predictions.unlabelled:
        parts.append(f"Further samples without a label: {predictions.unlabelled}.")
    return parts


def calibration_sentence(predictions: Predictions, error: float) -> str:
    """Return a sentence on the calibration error and its direction."""
    confidence = float(predictions.probabilities.max(1).values.double().mean())
    accuracy = predictions.accuracy
    relation, verdict = "is above", "overconfident"
    if math.isclose(confidence, accuracy, abs_tol=5e-4):
        relation, verdict = "equals", "neither over- nor underconfident"
    elif confidence < accuracy:
        relation, verdict = "is below", "underconfident"
    return (
        f"Expected calibration error {100 * error:.1f} points (15 bins). The mean confidence, "
        f"{100 * confidence:.1f} %, {relation} the accuracy, {100 * accuracy:.1f} %: on average "
        f"the network is {verdict}."
    )


def agreement_sentence(facts: RunFiles, predictions: Predictions) -> str:
    """Return whether the predictions score as a recorded test does: the file names no weights."""
    for checkpoint, entry in latest_tests(facts):
        value = entry["metrics"].get("test/accuracy")
        if value is not None and math.isclose(value, predictions.accuracy, abs_tol=1e-5):
            return f"Their accuracy is that of the test of {checkpoint}."
    return (
        "The file does not state its weights and samples (fdkd predict: best.ckpt, test split, "
        "unless told otherwise), and no recorded test has the same accuracy."
    )


def latest_tests(facts: RunFiles) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each tested checkpoint in words, with the latest record of its test."""
    own = {entry["sha256"] for entry in facts.checkpoints.values()}
    found: dict[Any, Mapping[str, Any]] = {}
    for entry in facts.evaluations:
        if entry["split"] == "test":
            found[(entry["checkpoint"] or {}).get("sha256")] = entry
    for sha256, entry in found.items():
        checkpoint = entry["checkpoint"]
        if checkpoint is None:
            yield "weights in memory", entry
            continue
        words = checkpoint.get("file", "a checkpoint")
        if checkpoint.get("epoch") is not None:
            words += f" (epoch {checkpoint['epoch']})"
        # A fit that a signal ended has recorded no checkpoints: the file may be its own.
        is_other = sha256 not in own and (facts.fit or {}).get("finished") is not None
        yield f"{words}, which this training did not write" if is_other else words, entry


def _training(facts: RunFiles) -> str:
    fit = facts.fit
    if fit is None:
        return "How it was trained is not recorded: the folder has no run.json of a fit."
    where = f"on {fit['device']}, precision {fit['precision']}, ranks: {fit['ranks']}"
    if fit["finished"] is None:
        last = max((p.step for points in facts.series.values() for p in points), default=None)
        so_far = "nothing is logged yet" if last is None else f"the log ends at step {last}"
        return f"Training has not finished: it runs or was killed; {so_far}. Started {where}."
    epochs, steps, seconds = (fit[name] for name in ("epochs", "steps", "seconds"))
    return f"Trained for {epochs} epochs, {steps} steps, in {seconds:g} s {where}."


def _validation(facts: RunFiles) -> str:
    best, monitor = facts.checkpoints.get("best"), facts.monitor or ""
    metrics = _validated(best)
    if best is None or monitor not in metrics:
        values = facts.series.get(monitor, [])
        if facts.fit is not None and facts.fit["finished"] is None and values:
            return (
                f"{monitor} was {values[-1].value:.4f} at the last validation so far; checkpoints "
                "are recorded when the training has finished."
            )
        if values:
            return (
                f"{monitor} was {values[-1].value:.4f} at the last validation; no best checkpoint "
                "is recorded."
            )
        if any(name.startswith("val") for name in facts.series):
            return "It was validated, but no best checkpoint is recorded: no epoch was chosen."
        return "No validation is recorded: no epoch was chosen, and overfitting is not shown."
    mode = "lowest" if facts.mode == "min" else "highest"
    epoch, value = best["epoch"], metrics[monitor]
    text = f"Epoch {epoch} (counted from 0) has the {mode} {monitor}, {value:.4f}"
    if not best["validation"]["whole_split"]:
        text += " on a part of the validation set"
    last = facts.checkpoints.get("last")
    if last is not None and last["step"] == best["step"]:
        text += "; it is the last: that longer training would not help is not shown"
    elif last is not None and monitor in (after := _validated(last)):
        text += f"; the last epoch, {last['epoch']}, has {after[monitor]:.4f}"
    return f"{text}. Chosen by this value, it is optimistic; test data judge."


def _tests(facts: RunFiles) -> Iterator[str]:
    found = False
    for checkpoint, entry in latest_tests(facts):
        found = True
        values = ", ".join(f"{name} {value:.4f}" for name, value in entry["metrics"].items())
        part = "" if entry["whole_split"] else ", on a part of the test split"
        other = ""
        if facts.fit is not None and entry["data"] != facts.fit["data"]:
            other = ", on other data than it was trained on"
        yield f"Test of {checkpoint}{part}{other}: {values}."
    if not found:
        yield "It has not been tested."


def _constant(predictions: Predictions | str) -> Iterator[str]:
    """Flag a network that predicts one class everywhere, though the labels are of several."""
    if isinstance(predictions, str) or len({*predictions.label.tolist()}) < 2:
        return
    found = {*predictions.predicted.tolist()}
    if len(found) == 1:
        name = predictions.names[found.pop()]
        yield (
            f"All {len(predictions.label)} labelled predictions are one class ({name}), at chance: "
            f"the accuracy, {100 * predictions.accuracy:.1f} %, is that class's share."
        )


def _validated(checkpoint: Mapping[str, Any] | None) -> Mapping[str, float]:
    validation = (checkpoint or {}).get("validation") or {}
    metrics: Mapping[str, float] = validation.get("metrics", {})
    return metrics


def _of_class(row: ClassRow) -> str:
    return f"{row.name} ({row.accuracy:.1f} % of {row.samples})"


def _class_name(spec: Any) -> str:
    path = spec.get("class_path", "?") if isinstance(spec, Mapping) else spec
    return str(path).rpartition(".")[2]
