from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from fdkd_lightning.export.card import write_card
from fdkd_lightning.export.run_facts import RunFacts, Teacher

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
    "task": None,
    "class_names": ["cat", "dog"],
    "fdkd_lightning": "0.1.0",
}
DATA = {"class_path": "mine.Data", "init_args": {"size": 3}}
CRITERION = {"class_path": "fdkd_lightning.KDLoss", "init_args": {"temperature": 4.0}}
DISTILLED = RunFacts(
    source="run.json",
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


def test_the_text_states_network_classes_inputs_and_what_is_not_known(tmp_path: Path) -> None:
    text = card(tmp_path).text
    for words in (
        "# Visual student, Data",
        "distilled from a teacher of modality audio, which inference does not need; exported by",
        "## Training",
        "## Results",
        "Classes: 0 cat, 1 dog.",
        "Input of the network: 'visual' of mine.Data. An example:",
        "| `visual` | [N, 1, 32, 32] | float32 |",
        "Nothing is recorded about licence, intended use",
    ):
        assert words in text


def test_students_without_a_teacher_are_described_as_such(tmp_path: Path) -> None:
    found = card(tmp_path, RunFacts("x", DATA, "fdkd_lightning.UnimodalModule"))
    assert found.data.eval_results is None
    assert "trained alone, without a teacher" in found.text
    assert "cross-modal" not in found.data.tags
    control = card(tmp_path, RunFacts("x", DATA, "m", CRITERION)).text
    assert "no teacher, as a control" in control


def test_without_a_run_nothing_is_stated_about_one(tmp_path: Path) -> None:
    text = card(tmp_path, None, files=["model.safetensors"]).text
    assert "## Training" not in text
    assert "## Results" not in text
    assert "Nothing is recorded about data, training, results, licence" in text


def test_it_shows_how_to_load_the_files_that_are_there(tmp_path: Path) -> None:
    graphs = {**CONFIG, "graph_inputs": VISUAL}
    text = card(tmp_path, **graphs).text
    assert "Input: 'visual' of mine.Data." in text
    assert 'ExportedStudent.from_pretrained("USER/NAME")' in text
    assert 'torch.export.load("model.pt2").module()' in text
    assert '{"visual": visual})' in text
    text = card(tmp_path, files=["model.safetensors"]).text
    assert "torch.export" not in text
    assert "onnxruntime" not in text
    assert "Input of the graphs" not in text
    network = {"class_path": "mine.Net", "init_args": {}}
    found = card(tmp_path, network=network)
    assert "trust=['mine']" in found.text
    assert "model_hub_mixin" not in found.data.tags


def test_graphs_with_another_input_than_the_network_are_described(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"min": 257, "max": None, "tried": [257, 8000]}
    waveform = {
        "tensors": {"audio": {"shape": ["N", "L"], "dtype": "float32", "L": {"onnx": limits}}},
        "meaning": "a voice",
    }
    spectrogram = {
        "tensors": {"audio": {"shape": ["N", 1, 32, 63], "dtype": "float32"}},
        "meaning": "output of LogMel for a voice",
    }
    changed = {"modality": "audio", "inputs": spectrogram, "graph_inputs": waveform}
    found = card(tmp_path, **changed)
    assert found.data.pipeline_tag == "audio-classification"
    assert "Input of the network: output of LogMel for a voice. An example:" in found.text
    assert "Input of the graphs (`model.pt2` and `model.onnx`): a voice." in found.text
    assert "| `audio` | [N, L], L at least 257 (tested: 257, 8000) | float32 |" in found.text
    limits["max"] = 512
    assert "L at least 257 and at most 512 (tested" in card(tmp_path, **changed).text


def test_a_files_lengths_are_its_own(tmp_path: Path) -> None:
    lengths = {
        "torch_export": {"min": 4096, "max": None, "tried": [4096, 8000]},
        "onnx": {"min": 8000, "max": 8000, "tried": [8000]},
    }
    entry = {"shape": ["N", "L"], "dtype": "float32", "L": lengths}
    text = card(tmp_path, graph_inputs={"tensors": {"audio": entry}, "meaning": "a voice"}).text
    assert (
        "in `model.pt2` L at least 4096 (tested: 4096, 8000); in `model.onnx` L exactly 8000"
        in text
    )
    lengths["onnx"] = lengths["torch_export"]
    text = card(tmp_path, graph_inputs={"tensors": {"audio": entry}, "meaning": "a voice"}).text
    assert "| [N, L], L at least 4096 (tested: 4096, 8000) |" in text


def test_two_inputs_go_in_by_name_and_pixels_make_a_segmentation(tmp_path: Path) -> None:
    entry = {"shape": ["N", 9], "dtype": "int64"}
    tokens = {"tensors": {"input_ids": entry, "attention_mask": entry}, "meaning": "words"}
    text = card(tmp_path, modality="text", inputs=tokens, graph_inputs=tokens).text
    feed = '{"input_ids": input_ids, "attention_mask": attention_mask}'
    assert text.count(feed) == 2
    outputs = {name: {"shape": ["N", 2, 8, 8], "dtype": "float32"} for name in CONFIG["outputs"]}
    assert card(tmp_path, outputs=outputs).data.pipeline_tag == "image-segmentation"


def test_what_logits_are_is_stated_and_numbers_are_no_classification(tmp_path: Path) -> None:
    task = {"labels": "numbers", "outputs": "the predicted numbers", "has_classes": False}
    found = card(tmp_path, task=task, class_names=None)
    assert "Labels: numbers. Logits: the predicted numbers." in found.text
    assert found.data.pipeline_tag is None
    labels = card(tmp_path, task={**task, "has_classes": True})
    assert labels.data.pipeline_tag == "image-classification"
