from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning import (
    AVDigits,
    DistillationModule,
    FeatureLoss,
    PretrainedModel,
    ResNet,
    UnimodalModule,
    load_student,
)
from fdkd_lightning.data.transforms.spectrograms import LogMelSpectrogram
from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.student import export_student
from fdkd_lightning.types import Output


def ready(module: nn.Module, example: Any, **more: Any) -> Any:
    arguments = {
        "modality": None,
        "spec": None,
        "transform": None,
        "class_names": (),
        "meaning": "a thing",
    }
    return make_standalone(module, example, **(arguments | more))


def net(**more: Any) -> ResNet:
    return ResNet(10, in_chans=1, channels=(8, 8, 8, 8), **more)


SPEC = {"class_path": "fdkd_lightning.ResNet", "init_args": {"num_classes": 10}}


def test_of_a_distillation_the_student_is_taken_and_left_as_it_is() -> None:
    teacher = PretrainedModel(net(), "nowhere.ckpt")
    module = DistillationModule(net(), {"audio": teacher}, FeatureLoss(), "visual").bfloat16()
    module.train()
    student = ready(module, torch.randn(2, 1, 32, 32, dtype=torch.bfloat16))
    assert student.config["modality"] == "visual"
    assert student.input_names == ("visual",)
    assert isinstance(student.network, ResNet)
    assert not student.network.training
    assert {p.dtype for p in student.network.parameters()} == {torch.float32}
    assert student.example.dtype == torch.float32
    assert module.training
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    assert all(p.requires_grad for p in module.parameters())


def test_of_a_network_that_began_from_a_checkpoint_the_checkpoint_is_no_part() -> None:
    spec = {
        "class_path": "fdkd_lightning.PretrainedModel",
        "init_args": {"model": SPEC, "checkpoint": "nowhere.ckpt"},
    }
    student = ready(PretrainedModel(net(), "nowhere.ckpt"), torch.randn(2, 1, 32, 32), spec=spec)
    assert isinstance(student.network, ResNet)
    assert student.config["network"] == SPEC


def test_a_source_that_a_network_reads_is_put_in(case_of: Callable[[str], Any]) -> None:
    made = case_of("bert")
    spec = {"class_path": "fdkd_lightning.TransformersModel", "init_args": {"num_classes": 5}}
    arguments = ready(made.network, made.example, spec=spec).config["network"]["init_args"]
    assert arguments["pretrained"] is False
    assert arguments["num_classes"] == 5
    assert (arguments["source"]["model_type"], arguments["source"]["vocab_size"]) == ("bert", 30)
    assert spec["init_args"] == {"num_classes": 5}


def test_the_configuration_says_what_goes_in_and_out() -> None:
    names = AVDigits.class_names
    student = ready(net(), torch.randn(2, 1, 32, 32), modality="visual", class_names=names)
    assert student.config["inputs"] == {
        "tensors": {"visual": {"shape": ["N", 1, 32, 32], "dtype": "float32"}},
        "meaning": "a thing",
    }
    assert student.config["outputs"] == {
        "logits": {"shape": ["N", 10], "dtype": "float32"},
        "features": {"shape": ["N", 8], "dtype": "float32"},
    }
    assert student.config["class_names"] == [*names]
    unnamed = ready(net(), torch.randn(2, 1, 32, 32), class_names=names[:9])
    assert unnamed.config["class_names"] is None
    assert unnamed.input_names == ("input",)


def test_a_transform_stands_between_the_graphs_input_and_the_networks() -> None:
    waveforms = (torch.randn(2, 8000).clamp(-1, 1) * 32767).to(torch.int16)
    student = ready(net(), waveforms, modality="audio", transform=LogMelSpectrogram())
    assert student.graph_example.dtype == torch.int16
    assert list(student.example.shape) == [2, 1, 32, 63]
    assert student.meaning == "a thing"
    made = "output of fdkd_lightning.data.transforms.spectrograms.LogMelSpectrogram for a thing"
    assert student.config["inputs"]["meaning"] == made


def test_a_transform_of_what_is_no_tensor_cannot_begin_a_graph() -> None:
    with pytest.raises(ExportError, match=r"text is a list of str, .*without include_transform"):
        ready(net(), ["a", "b"], modality="text", transform=nn.Identity())


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3)])
def test_an_example_is_of_two_samples_or_more(sizes: tuple[int, int]) -> None:
    tokens = {n: torch.ones(size, 4) for n, size in zip(("a", "b"), sizes, strict=True)}
    with pytest.raises(ExportError, match=r"give two or more samples, as many in each tensor"):
        ready(net(), tokens)


def test_a_network_that_returns_something_else_is_an_error() -> None:
    class Bare(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(TypeError, match=r"instead of fdkd_lightning\.Output"):
        ready(Bare(), torch.ones(2, 2))
    assert Output(torch.ones(1), torch.ones(1)).maps == ()


class Number(nn.Module):
    """One number per sample, with or without an axis."""

    def __init__(self, axis: bool) -> None:
        super().__init__()
        self.fc, self.axis = nn.Linear(4, 1), axis

    def forward(self, x: Tensor) -> Output:
        number = self.fc(x)
        return Output(x, number if self.axis else number[:, 0])


@pytest.mark.parametrize("axis", [True, False])
def test_a_student_of_numbers_is_exported_without_names_of_classes(
    tmp_path: Path, axis: bool
) -> None:
    module = UnimodalModule(Number(axis), "visual", task_loss=nn.MSELoss())
    x = torch.randn(2, 4)
    student = ready(module, x, class_names=["pressure"])
    assert student.config["class_names"] is None
    assert student.config["task"] == {
        "labels": "numbers",
        "outputs": "the predicted numbers",
        "has_classes": False,
    }
    export_student(module, tmp_path / "out", x, ["safetensors", "torch_export"])
    loaded = load_student(tmp_path / "out", network=Number(axis))
    assert torch.equal(loaded(x).logits, module(x).logits)


def test_independent_labels_keep_their_names() -> None:
    module = UnimodalModule(net(), "visual", task_loss=nn.BCEWithLogitsLoss())
    names = [*AVDigits.class_names]
    student = ready(module, torch.randn(2, 1, 32, 32), class_names=names)
    assert student.config["class_names"] == names
    assert student.config["task"]["labels"] == "independent labels"
