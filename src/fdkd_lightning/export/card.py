"""The model card: what is recorded about the student's training, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from fdkd_lightning.export import onnx, torch_export, weights
from fdkd_lightning.export.card_run import results_section, training_section
from fdkd_lightning.export.rebuild import required_trust
from fdkd_lightning.export.run_facts import RunFacts
from fdkd_lightning.training.run.redaction import redact

CARD = "README.md"
TASKS = {
    "visual": "image-classification",
    "audio": "audio-classification",
    "text": "text-classification",
}
"""Modality -> task, as the Hugging Face Hub names it."""


def write_card(
    config: dict[str, Any], facts: RunFacts | None, files: Sequence[str], folder: Path
) -> Path:
    """Write the model card of an exported folder.

    Returns:
        The card's path.
    """
    name = " ".join(filter(None, [config["modality"], "student"]))
    if facts is not None:
        name += f", {_class_name(facts.data['class_path'])}"
    parts = [f"# {_capitalised(name)}", _summary(config, facts), *_inputs_and_outputs(config)]
    parts += [] if facts is None else [*training_section(facts), *results_section(facts)]
    parts += [*_usage(config, files), *_open_points(facts)]
    data = _metadata(config, facts, name)
    path = folder / CARD
    text = f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"
    ModelCard(redact(text)).save(path)
    return path


def _metadata(config: dict[str, Any], facts: RunFacts | None, name: str) -> ModelCardData:
    task = TASKS.get(config["modality"])
    if len(config["outputs"]["logits"]["shape"]) == 4:
        task = "image-segmentation"
    if config["task"] is not None and not config["task"]["has_classes"]:
        task = None
    tags = ["knowledge-distillation"]
    if not required_trust(config["network"]):
        # For networks that ExportedStudent.from_pretrained builds.
        tags += ["pytorch_model_hub_mixin", "model_hub_mixin"]
    if facts is not None and facts.teachers:
        tags.insert(0, "cross-modal")
    results = []
    if facts is not None:
        results = [
            EvalResult(
                task_type=task or "other",
                dataset_type=facts.data["class_path"],
                dataset_name=_class_name(facts.data["class_path"]),
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


def _summary(config: dict[str, Any], facts: RunFacts | None) -> str:
    network = "a network" if config["network"] is None else f"`{config['network']['class_path']}`"
    exported = f"exported by fdkd_lightning {config['fdkd_lightning']}"
    if facts is None:
        return f"{_capitalised(network)}, {exported}."
    if facts.teachers:
        modalities = " and ".join(teacher.modality for teacher in facts.teachers)
        how = f"distilled from a teacher of modality {modalities}, which inference does not need"
    elif facts.criterion is not None:
        how = "trained with a distillation criterion but no teacher, as a control"
    else:
        how = "trained alone, without a teacher"
    return f"{_capitalised(network)}, {how}; {exported}."


def _inputs_and_outputs(config: dict[str, Any]) -> list[str]:
    inputs, graphs = config["inputs"], config["graph_inputs"]
    meaning = inputs["meaning"] or "the input that it was trained with"
    parts = ["## Input and output"]
    if graphs is not None and graphs["meaning"] == inputs["meaning"]:
        parts += [f"Input: {meaning}.", _table(graphs["tensors"])]
    else:
        parts += [f"Input of the network: {meaning}. An example:", _table(inputs["tensors"])]
        if graphs is not None:
            files = f"`{torch_export.GRAPH}` and `{onnx.GRAPH}`"
            before = graphs["meaning"] or "the data before that"
            parts += [f"Input of the graphs ({files}): {before}.", _table(graphs["tensors"])]
    parts += ["Output:", _table(config["outputs"])]
    if config["task"] is not None:
        parts.append(f"Labels: {config['task']['labels']}. Logits: {config['task']['outputs']}.")
    parts.append("N is any batch size. All values are float32, computed without autocast.")
    if config["class_names"] is not None:
        names = ", ".join(f"{i} {name}" for i, name in enumerate(config["class_names"]))
        parts.append(f"Classes: {names}.")
    return parts


def _table(tensors: dict[str, dict[str, Any]]) -> str:
    lines = ["| name | shape | dtype |", "|---|---|---|"]
    for name, entry in tensors.items():
        shape = f"[{', '.join(map(str, entry['shape']))}]"
        if "L" in entry:
            shape += f", {_lengths(entry['L'])}"
        lines.append(f"| `{name}` | {shape} | {entry['dtype']} |")
    return "\n".join(lines)


def _lengths(limits: dict[str, dict[str, Any]]) -> str:
    """The sequence lengths that each file accepts."""
    files = {"torch_export": torch_export.GRAPH, "onnx": onnx.GRAPH}
    texts = {}
    for kind, entry in limits.items():
        least, most = entry["min"], entry["max"]
        text = f"at least {least}" + (f" and at most {most}" if most else "")
        text = f"exactly {least}" if least == most else text
        texts[files[kind]] = f"{text} (tested: {', '.join(map(str, entry['tried']))})"
    different = [*dict.fromkeys(texts.values())]
    if len(different) == 1:
        return f"L {different[0]}"
    return "; ".join(f"in `{name}` L {text}" for name, text in texts.items())


def _usage(config: dict[str, Any], files: Sequence[str]) -> list[str]:
    parts = ["## Use"]
    if weights.WEIGHTS in files:
        trust = required_trust(config["network"])
        given = f", trust={trust}" if trust else ""
        code = "from fdkd_lightning import ExportedStudent\n\n"
        code += f'student = ExportedStudent.from_pretrained("USER/NAME"{given})  # or this folder'
        parts.append(f"```python\n{code}\noutput = student(x)  # .logits, .features\n```")
    name, *others = (config["graph_inputs"] or config["inputs"])["tensors"]
    x = "x" if not others else "{" + ", ".join(f'"{n}": {n}' for n in (name, *others)) + "}"
    if torch_export.GRAPH in files:
        parts.append(
            "With torch alone:\n\n```python\nimport torch\n\n"
            f'student = torch.export.load("{torch_export.GRAPH}").module()\n'
            f'logits = student({x})["logits"]\n```'
        )
    if onnx.GRAPH in files:
        feed = "{" + ", ".join(f'"{n}": {n}' for n in (name, *others)) + "}"
        parts.append(
            "With onnxruntime alone, on NumPy arrays:\n\n```python\nimport onnxruntime\n\n"
            f'student = onnxruntime.InferenceSession("{onnx.GRAPH}")\n'
            f'logits, features = student.run(["logits", "features"], {feed})\n```'
        )
    return parts


def _open_points(facts: RunFacts | None) -> list[str]:
    unknown = "licence, intended use, limits or biases"
    if facts is None:
        unknown = f"data, training, results, {unknown}"
    return [
        "## Not known",
        f"Nothing is recorded about {unknown}. Describe them here before you publish.",
    ]


def _class_name(path: str) -> str:
    return path.rpartition(".")[2]


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
