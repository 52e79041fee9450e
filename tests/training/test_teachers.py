from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.types import Output


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Output:
        features = self.dropout(self.norm(x))
        return Output(features, self.fc(features))


class Oracle(nn.Module):
    """Names the class that its input is."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Parameter(torch.eye(4))

    def forward(self, x: Tensor) -> Output:
        return Output(self.eye[x], self.eye[x])


class Holder(nn.Module):
    """A module with teachers."""

    def __init__(self, teachers: FrozenTeachers | TrainedTeachers) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.teachers = teachers


def test_teachers_are_frozen_and_in_eval_mode() -> None:
    net = Net().train()
    teachers = FrozenTeachers({"audio": net})
    assert not any(p.requires_grad for p in net.parameters())
    assert not any(part.training for part in net.modules())
    assert teachers["audio"] is net


def test_they_are_a_mapping_from_modalities() -> None:
    nets = {"audio": Net(), "text": Net()}
    teachers = FrozenTeachers(nets)
    assert dict(teachers) == nets
    assert len(teachers) == 2
    assert not FrozenTeachers({})
    with pytest.raises(KeyError):
        teachers["visual"]


def test_a_module_that_holds_them_does_not_own_them() -> None:
    module = Holder(FrozenTeachers({"audio": Net()}))
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    assert list(module.state_dict()) == ["weight"]
    module.train()
    assert not module.teachers["audio"].training


def test_they_answer_in_eval_mode_even_after_train() -> None:
    net, x = Net(), torch.randn(8, 4) + 3
    teachers = FrozenTeachers({"audio": net})
    expected = teachers({"audio": x})["audio"]
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    net.train()
    output = teachers({"audio": x})["audio"]
    torch.testing.assert_close(output, expected, rtol=0, atol=0)
    assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers())


def test_their_outputs_have_no_gradient_but_autograd_can_use_them() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    output = FrozenTeachers({"audio": Net()})({"audio": x})["audio"]
    student = torch.randn(2, 4, requires_grad=True)
    for values in (output.features, output.logits):
        assert not values.requires_grad
        assert not values.is_inference()
    (student * output.features).sum().backward()
    assert student.grad is not None
    assert torch.equal(student.grad, output.features)
    assert x.grad is None


def test_each_teacher_gets_its_own_modality() -> None:
    teachers = FrozenTeachers({"audio": Oracle(), "text": Oracle()})
    outputs = teachers({"audio": torch.tensor([1, 2]), "text": torch.tensor([3, 0]), "label": 0})
    classes = {modality: output.logits.argmax(1).tolist() for modality, output in outputs.items()}
    assert classes == {"audio": [1, 2], "text": [3, 0]}
    assert FrozenTeachers({})({}) == {}


def test_a_modality_that_the_batch_lacks_is_named() -> None:
    with pytest.raises(KeyError, match="no modality 'audio', only: visual"):
        FrozenTeachers({"audio": Net()})({"visual": 0})


def test_a_teacher_that_returns_no_output_is_an_error() -> None:
    with pytest.raises(TypeError, match="returned Tensor instead of"):
        FrozenTeachers({"audio": nn.Linear(4, 3)})({"audio": torch.ones(1, 4)})


def test_load_reads_the_weights_of_pretrained_ones(tmp_path: Path) -> None:
    net = Net()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    teachers = FrozenTeachers({"text": Net(), "audio": PretrainedModel(Net(), tmp_path / "net.pt")})
    x = torch.randn(2, 4)
    expected = net.eval()(x).logits
    assert not torch.equal(teachers({"audio": x, "text": x})["audio"].logits, expected)
    teachers.load()
    outputs = teachers({"audio": x, "text": x})
    torch.testing.assert_close(outputs["audio"].logits, expected)
    assert not outputs["audio"].logits.requires_grad


def test_to_moves_all_of_them() -> None:
    nets = {"audio": Net(), "text": Net()}
    teachers = FrozenTeachers(nets)
    teachers.to(torch.device("meta"))
    assert {p.device.type for net in nets.values() for p in net.parameters()} == {"meta"}
    assert {p.dtype for net in nets.values() for p in net.parameters()} == {torch.float32}
    teachers.to(torch.device("meta"), torch.bfloat16)
    assert {p.dtype for net in nets.values() for p in net.parameters()} == {torch.bfloat16}


def test_teachers_see_only_the_samples_that_have_their_modality() -> None:
    nets = {"audio": Oracle(), "text": Oracle(), "visual": Oracle()}
    # An Oracle fails on a blank.
    present = {"audio": torch.tensor([True, False, True]), "visual": torch.zeros(3).bool()}
    batch = {"audio": torch.tensor([0, 99, 2]), "text": torch.arange(3), "present": present}
    batch["visual"] = torch.full((3,), 99)
    trained = TrainedTeachers(nets)
    for teachers in (FrozenTeachers(nets), trained, trained.eval()):
        answers = {m: output.logits.argmax(1).tolist() for m, output in teachers(batch).items()}
        assert answers == {"audio": [0, 2], "text": [0, 1, 2]}


def test_a_single_sample_that_is_left_trains_no_teacher() -> None:
    present = {"audio": torch.tensor([False, False, True])}
    batch = {"audio": torch.tensor([99, 99, 2]), "present": present}
    assert list(TrainedTeachers({"audio": Oracle()})(batch)) == []
    for teachers in (
        FrozenTeachers({"audio": Oracle()}),
        TrainedTeachers({"audio": Oracle()}).eval(),
    ):
        assert teachers(batch)["audio"].logits.argmax(1).tolist() == [2]


def test_trained_teachers_are_part_of_the_module() -> None:
    net = Net()
    module = Holder(TrainedTeachers({"audio": net}))
    names = {f"teachers.audio.{name}" for name in net.state_dict()}
    assert set(module.state_dict()) == {"weight"} | names
    assert {*module.parameters()} == {module.weight, *net.parameters()}
    assert all(p.requires_grad for p in net.parameters())
    assert all(part.training for part in net.modules())
    module.eval()
    assert not any(part.training for part in net.modules())
    assert not TrainedTeachers({})


def test_their_outputs_have_gradients_and_their_batch_norm_learns() -> None:
    net = Net()
    teachers = TrainedTeachers({"audio": net})
    output = teachers({"audio": torch.randn(8, 4) + 3})["audio"]
    output.logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert net.norm.num_batches_tracked == 1
    assert net.norm.running_mean is not None
    assert (net.norm.running_mean > 0.1).all()


def test_each_trained_teacher_gets_its_own_modality() -> None:
    teachers = TrainedTeachers({"audio": Oracle(), "text": Oracle()})
    outputs = teachers({"audio": torch.tensor([1, 2]), "text": torch.tensor([3, 0]), "label": 0})
    classes = {modality: output.logits.argmax(1).tolist() for modality, output in outputs.items()}
    assert classes == {"audio": [1, 2], "text": [3, 0]}
    assert TrainedTeachers({})({}) == {}


def test_a_trained_teacher_without_its_modality_or_output_is_an_error() -> None:
    with pytest.raises(KeyError, match="no modality 'audio', only: visual"):
        TrainedTeachers({"audio": Net()})({"visual": 0})
    with pytest.raises(TypeError, match="returned Tensor instead of"):
        TrainedTeachers({"audio": nn.Linear(4, 3)})({"audio": torch.ones(1, 4)})


def test_trained_teachers_begin_with_the_weights_of_pretrained_ones(tmp_path: Path) -> None:
    source, net = Net(), Net()
    torch.save(source.state_dict(), tmp_path / "net.pt")
    teachers = TrainedTeachers({"text": Net(), "audio": PretrainedModel(net, tmp_path / "net.pt")})
    teachers.load()
    for name, value in source.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)
    assert all(p.requires_grad for p in teachers.parameters())


def test_teachers_that_came_frozen_and_in_eval_mode_are_trained() -> None:
    net = Net().requires_grad_(False).eval()
    teachers = TrainedTeachers({"audio": net})
    assert net.training
    assert all(p.requires_grad for p in teachers.parameters())
