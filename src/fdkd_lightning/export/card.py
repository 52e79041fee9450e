"""The model card: what the run says of the student, and nothing that it does not say."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from fdkd_lightning.export import onnx, torch_export, weights
from fdkd_lightning.export.facts import RunFacts, Teacher

CARD = "README.md"
TASKS = {
    "visual": "image-classification",
    "audio": "audio-classification",
    "text": "text-classification",
}


def write_card(
    config: dict[str, Any], facts: RunFacts | None, files: Sequence[str], folder: Path
) -> Path:
    """Write the card of an exported folder.

    Args:
        config: What ``config.json`` says.
        facts: What is known of the run; None: nothing.
        files: The student's files beside it.
        folder: Where they are.
    """
    name = " ".join(filter(None, [config["modality"], "student"]))
    if facts is not None:
        name += f", {_last(facts.data['class_path'])}"
    parts = [f"# {name[0].upper()}{name[1:]}", _what(config, facts), *_takes(config)]
    parts += [] if facts is None else [*_training(facts), *_results(facts)]
    parts += [*_use(config, files), *_open_points(facts)]
    data = _metadata(config, facts, name)
    path = folder / CARD
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n").save(path)
    return path


def _metadata(config: dict[str, Any], facts: RunFacts | None, name: str) -> ModelCardData:
    task = TASKS.get(config["modality"])
    if len(config["outputs"]["logits"]["shape"]) == 4:
        task = "image-segmentation"
    tags = ["knowledge-distillation"]
    if not weights.untrusted(config["network"]):
        # For those that ExportedStudent.from_pretrained builds.
        tags += ["pytorch_model_hub_mixin", "model_hub_mixin"]
    if facts is not None and facts.teachers:
        tags.insert(0, "cross-modal")
    results = []
    if facts is not None:
        results = [
            EvalResult(
                task_type=task or "other",
                dataset_type=facts.data["class_path"],
                dataset_name=_last(facts.data["class_path"]),
                dataset_split=metric.split("/")[0],
                metric_type=metric.split("/")[-1],
                metric_name=metric,
                metric_value=value,
            )
            for metric, value in facts.metrics.items()
        ]
    return ModelCardData(
        library_name="fdkd_lightning",
        pipeline_tag=task,
        tags=tags,
        model_name=name if results else None,
        eval_results=results or None,
    )


def _what(config: dict[str, Any], facts: RunFacts | None) -> str:
    network = "a network" if config["network"] is None else f"`{config['network']['class_path']}`"
    by = f"fdkd_lightning {config['fdkd_lightning']}"
    if facts is None:
        return f"{network[0].upper()}{network[1:]}, exported by {by}."
    if facts.teachers:
        seen = " and ".join(teacher.modality for teacher in facts.teachers)
        how = f"distilled from a teacher of {seen}, which it does not need any more"
    elif facts.criterion is not None:
        how = "trained with a criterion of distillation and no teacher, as a control"
    else:
        how = "trained alone, without a teacher"
    return f"{network[0].upper()}{network[1:]}, {how}; exported by {by}."


def _takes(config: dict[str, Any]) -> list[str]:
    own, graphs = config["inputs"], config["graph_inputs"]
    meaning = own["meaning"] or "what the network was trained on"
    found = ["## Input and output"]
    if graphs is not None and graphs["meaning"] == own["meaning"]:
        found += [f"It takes {meaning}:", _table(graphs["tensors"])]
    else:
        found += [f"The network takes {meaning}, for example:", _table(own["tensors"])]
        if graphs is not None:
            files = f"`{torch_export.GRAPH}` and `{onnx.GRAPH}`"
            said = graphs["meaning"] or "what comes before that"
            found += [f"The graphs ({files}) take {said}:", _table(graphs["tensors"])]
    found += ["It gives:", _table(config["outputs"])]
    found.append("N is any number of samples. Everything is float32, without autocast.")
    if config["class_names"] is not None:
        names = ", ".join(f"{i} {name}" for i, name in enumerate(config["class_names"]))
        found.append(f"Classes: {names}.")
    return found


def _table(tensors: dict[str, dict[str, Any]]) -> str:
    lines = ["| name | shape | type |", "|---|---|---|"]
    for name, entry in tensors.items():
        shape = f"[{', '.join(map(str, entry['shape']))}]"
        if "L" in entry:
            shape += f", {_lengths(entry['L'])}"
        lines.append(f"| `{name}` | {shape} | {entry['dtype']} |")
    return "\n".join(lines)


def _lengths(limits: dict[str, dict[str, Any]]) -> str:
    files = {"torch_export": torch_export.GRAPH, "onnx": onnx.GRAPH}
    said = {}
    for kind, entry in limits.items():
        least, most = entry["min"], entry["max"]
        text = f"at least {least}" + (f" and at most {most}" if most else "")
        text = f"{least} alone" if least == most else text
        said[files[kind]] = f"{text} (tried: {', '.join(map(str, entry['tried']))})"
    texts = [*dict.fromkeys(said.values())]
    if len(texts) == 1:
        return f"L {texts[0]}"
    return "; ".join(f"of `{name}` L {text}" for name, text in said.items())


def _training(facts: RunFacts) -> list[str]:
    found = [
        f"## Training\n\nFrom {facts.source}.",
        f"Data:\n\n{_yaml(facts.data)}",
    ]
    if facts.criterion is None:
        found.append(f"Method: cross-entropy of the labels alone (`{facts.module}`).")
    else:
        task = "without the labels' cross-entropy"
        if facts.task_weight is not None:
            task = f"beside the labels' cross-entropy, weight {facts.task_weight:g}"
        found.append(f"Method (`{facts.module}`), {task}:\n\n{_yaml(facts.criterion)}")
    found += [_teacher(teacher) for teacher in facts.teachers]
    if facts.checkpoint:
        found.append(f"Weights: {facts.checkpoint}.")
    return found


def _teacher(teacher: Teacher) -> str:
    text = f"Teacher of {teacher.modality}: `{teacher.network}`"
    if teacher.checkpoint is None:
        return f"{text}; the configuration names no checkpoint of it."
    text += f", checkpoint `{teacher.checkpoint}`"
    if teacher.sha256 is None:
        return f"{text}, which was not at hand when this was written."
    late = ". That file is newer than the student: it may not be what taught it"
    return f"{text}, sha256 `{teacher.sha256}`{late if teacher.changed else ''}."


def _results(facts: RunFacts) -> list[str]:
    found = ["## Results"]
    if facts.metrics:
        lines = [f"| {name} | {value:.4f} |" for name, value in facts.metrics.items()]
        found.append("\n".join(["| metric of these weights | value |", "|---|---|", *lines]))
    else:
        found.append("The run's logs hold none that are of these weights.")
    if facts.study is not None:
        study = facts.study
        values = list(study.values.values())
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        seeds = "seed" if len(values) == 1 else "seeds"
        where = " epoch's weights" if study.epoch == "last" else " epoch's on validation data"
        found.append(
            f"In a study, {study.method} ({study.direction}, {study.regime}) has test "
            f"{study.metric} {math.fsum(values) / len(values):.4f}{spread}, n = {len(values)} "
            f"{seeds} ({', '.join(map(str, study.values))}), by the {study.epoch}{where}: "
            "mean and standard deviation. This is one of these runs."
        )
    return found


def _use(config: dict[str, Any], files: Sequence[str]) -> list[str]:
    found = ["## Use"]
    if weights.WEIGHTS in files:
        trust = weights.untrusted(config["network"])
        code = "from fdkd_lightning import ExportedStudent\n\n"
        code += 'student = ExportedStudent.from_pretrained("USER/NAME")  # or this folder'
        if trust:
            code = "from fdkd_lightning import load_student\n\n"
            code += f'student = load_student("FOLDER", trust={trust})  # these must be installed'
        found.append(f"```python\n{code}\noutput = student(x)  # .logits, .features\n```")
    name, *others = (config["graph_inputs"] or config["inputs"])["tensors"]
    x = "x" if not others else "{" + ", ".join(f'"{n}": {n}' for n in (name, *others)) + "}"
    if torch_export.GRAPH in files:
        found.append(
            "With torch alone:\n\n```python\nimport torch\n\n"
            f'student = torch.export.load("{torch_export.GRAPH}").module()\n'
            f'logits = student({x})["logits"]\n```'
        )
    if onnx.GRAPH in files:
        feed = "{" + ", ".join(f'"{n}": {n}' for n in (name, *others)) + "}"
        found.append(
            "With onnxruntime alone, on NumPy arrays:\n\n```python\nimport onnxruntime\n\n"
            f'student = onnxruntime.InferenceSession("{onnx.GRAPH}")\n'
            f'logits, features = student.run(["logits", "features"], {feed})\n```'
        )
    return found


def _open_points(facts: RunFacts | None) -> list[str]:
    unknown = "licence, intended use, limits or biases"
    if facts is None:
        unknown = f"data, training, results, {unknown}"
    return [
        "## Not known",
        f"What wrote this card was not told of {unknown}: say it here before you publish.",
    ]


def _yaml(content: Any) -> str:
    return f"```yaml\n{yaml.safe_dump(content, sort_keys=False)}```"


def _last(path: str) -> str:
    return path.rpartition(".")[2]
