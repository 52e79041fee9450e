from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from fdkd_lightning.export.card import write_card
from fdkd_lightning.export.facts import RunFacts, StudyScores, Teacher

VISUAL = {
    "tensors": {"visual": {"shape": ["N", 1, 32, 32], "dtype": "float32"}},
    "meaning": "'visual' of mine.Data",
}
CONFIG: dict[str, Any] = {
    "network": {"class_path": "fdkd_lightning.ResNet", "init_args": {"num_classes": 2}},
    "modality": "visual",
    "inputs": VISUAL,
    "graph_inputs": None,
    "outputs": {
        "logits": {"shape": ["N", 2], "dtype": "float32"},
        "features": {"shape": ["N", 8], "dtype": "float32"},
    },
    "class_names": ["cat", "dog"],
    "fdkd_lightning": "0.1.0",
}
DATA = {"class_path": "mine.Data", "init_args": {"size": 3}}
CRITERION = {"class_path": "fdkd_lightning.KDLoss", "init_args": {"temperature": 4.0}}
DISTILLED = RunFacts(
    source="the configuration that the run saved",
    data=DATA,
    module="fdkd_lightning.DistillationModule",
    criterion=CRITERION,
    teachers=(Teacher("audio", "mine.Net", "teacher.ckpt", "ab12"),),
    checkpoint="`best.ckpt`, after 3 epochs, 12 steps",
    metrics={"val/accuracy": 0.75, "test/accuracy": 0.6875},
)
FILES = ["model.safetensors", "model.pt2", "model.onnx"]


def card(folder: Path, facts: RunFacts | None = DISTILLED, **changed: Any) -> ModelCard:
    files = changed.pop("files", FILES)
    return ModelCard.load(write_card({**CONFIG, **changed}, facts, files, folder))


def test_the_metadata_are_the_runs(tmp_path: Path) -> None:
    found = card(tmp_path).data
    assert (found.library_name, found.pipeline_tag) == ("fdkd_lightning", "image-classification")
    assert {"cross-modal", "knowledge-distillation", "pytorch_model_hub_mixin"} <= {*found.tags}
    assert found.license is None
    assert [
        (r.dataset_name, r.dataset_split, r.metric_name, r.metric_type, r.metric_value)
        for r in found.eval_results
    ] == [
        ("Data", "val", "val/accuracy", "accuracy", 0.75),
        ("Data", "test", "test/accuracy", "accuracy", 0.6875),
    ]


def test_the_text_tells_data_method_teacher_weights_and_results(tmp_path: Path) -> None:
    text = card(tmp_path).text
    # The version that trained it is written nowhere.
    assert "which it does not need any more; exported by fdkd_lightning 0.1.0." in text
    blocks = [yaml.safe_load(b[5:]) for b in text.split("```")[1::2] if b.startswith("yaml\n")]
    assert blocks == [DATA, CRITERION]
    for words in (
        "# Visual student, Data",
        "distilled from a teacher of audio",
        "beside the labels' cross-entropy, weight 1",
        "Teacher of audio: `mine.Net`, checkpoint `teacher.ckpt`, sha256 `ab12`.",
        "Weights: `best.ckpt`, after 3 epochs, 12 steps.",
        "| test/accuracy | 0.6875 |",
        "Classes: 0 cat, 1 dog.",
        "The network takes 'visual' of mine.Data, for example:",
        "| `visual` | [N, 1, 32, 32] | float32 |",
        "was not told of licence, intended use",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (Teacher("audio", "mine.Net"), "the configuration names no checkpoint of it"),
        (Teacher("audio", "mine.Net", "t.ckpt"), "not at hand when this was written"),
        (Teacher("audio", "mine.Net", "t.ckpt", "ab", True), "newer than the student"),
    ],
)
def test_what_is_not_known_of_a_teacher_is_said(
    tmp_path: Path, teacher: Teacher, words: str
) -> None:
    text = card(tmp_path, RunFacts("x", DATA, "m", CRITERION, teachers=(teacher,))).text
    assert words in text
    assert ("sha256" in text) == (teacher.sha256 is not None)


def test_without_metrics_there_are_no_numbers(tmp_path: Path) -> None:
    found = card(tmp_path, RunFacts("x", DATA, "fdkd_lightning.UnimodalModule"))
    assert found.data.eval_results is None
    assert "hold none that are of these weights" in found.text
    assert "trained alone, without a teacher" in found.text
    assert "cross-entropy of the labels alone" in found.text
    assert "cross-modal" not in found.data.tags
    control = card(tmp_path, RunFacts("x", DATA, "m", CRITERION, task_weight=None)).text
    assert "no teacher, as a control" in control
    assert "without the labels' cross-entropy" in control


def test_without_a_run_nothing_is_told_of_one(tmp_path: Path) -> None:
    text = card(tmp_path, None, files=["model.safetensors"]).text
    assert "## Training" not in text
    assert "## Results" not in text
    assert "was not told of data, training, results, licence" in text


def test_a_studys_seeds_give_mean_and_standard_deviation(tmp_path: Path) -> None:
    values = {0: 0.5, 1: 0.7, 2: 0.6}
    scores = StudyScores("KD", "audio to visual", "few", "accuracy", "last", values)
    text = card(tmp_path, RunFacts("x", DATA, "m", CRITERION, study=scores)).text
    # Deviations -0.1, 0.1 and 0: squares sum to 0.02, over n - 1 = 2.
    assert "test accuracy 0.6000 ± 0.1000, n = 3 seeds (0, 1, 2)" in text
    assert "KD (audio to visual, few)" in text
    one = StudyScores("KD", "d", "r", "accuracy", "last", {4: 0.5})
    text = card(tmp_path, RunFacts("x", DATA, "m", CRITERION, study=one)).text
    assert "test accuracy 0.5000, n = 1 seed (4)" in text


def test_it_shows_how_to_load_the_files_that_are_there(tmp_path: Path) -> None:
    graphs = {**CONFIG, "graph_inputs": VISUAL}
    text = card(tmp_path, **graphs).text
    assert "It takes 'visual' of mine.Data:" in text
    assert 'ExportedStudent.from_pretrained("USER/NAME")' in text
    assert 'torch.export.load("model.pt2").module()' in text
    assert '{"visual": visual})' in text
    text = card(tmp_path, files=["model.safetensors"]).text
    assert "torch.export" not in text
    assert "onnxruntime" not in text
    assert "The graphs" not in text
    network = {"class_path": "mine.Net", "init_args": {}}
    found = card(tmp_path, network=network)
    assert "trust=['mine']" in found.text
    assert "model_hub_mixin" not in found.data.tags


def test_graphs_that_take_something_else_are_told_apart(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"min": 257, "max": None, "tried": [257, 8000]}
    waveform = {
        "tensors": {"audio": {"shape": ["N", "L"], "dtype": "float32", "L": {"onnx": limits}}},
        "meaning": "a voice",
    }
    spectrogram = {
        "tensors": {"audio": {"shape": ["N", 1, 32, 63], "dtype": "float32"}},
        "meaning": "what LogMel makes of a voice",
    }
    changed = {"modality": "audio", "inputs": spectrogram, "graph_inputs": waveform}
    found = card(tmp_path, **changed)
    assert found.data.pipeline_tag == "audio-classification"
    assert "The network takes what LogMel makes of a voice, for example:" in found.text
    assert "The graphs (`model.pt2` and `model.onnx`) take a voice:" in found.text
    assert "| `audio` | [N, L], L at least 257 (tried: 257, 8000) | float32 |" in found.text
    limits["max"] = 512
    assert "L at least 257 and at most 512 (tried" in card(tmp_path, **changed).text


def test_a_files_lengths_are_its_own(tmp_path: Path) -> None:
    lengths = {
        "torch_export": {"min": 4096, "max": None, "tried": [4096, 8000]},
        "onnx": {"min": 8000, "max": 8000, "tried": [8000]},
    }
    entry = {"shape": ["N", "L"], "dtype": "float32", "L": lengths}
    text = card(tmp_path, graph_inputs={"tensors": {"audio": entry}, "meaning": "a voice"}).text
    assert "of `model.pt2` L at least 4096 (tried: 4096, 8000); of `model.onnx` L 8000 al" in text
    lengths["onnx"] = lengths["torch_export"]
    text = card(tmp_path, graph_inputs={"tensors": {"audio": entry}, "meaning": "a voice"}).text
    assert "| [N, L], L at least 4096 (tried: 4096, 8000) |" in text


def test_two_inputs_go_in_by_name_and_pixels_make_a_segmentation(tmp_path: Path) -> None:
    entry = {"shape": ["N", 9], "dtype": "int64"}
    tokens = {"tensors": {"input_ids": entry, "attention_mask": entry}, "meaning": "words"}
    text = card(tmp_path, modality="text", inputs=tokens, graph_inputs=tokens).text
    feed = '{"input_ids": input_ids, "attention_mask": attention_mask}'
    assert text.count(feed) == 2
    outputs = {name: {"shape": ["N", 2, 8, 8], "dtype": "float32"} for name in CONFIG["outputs"]}
    assert card(tmp_path, outputs=outputs).data.pipeline_tag == "image-segmentation"
