import csv
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.teachers import (
    FrozenTeachers,
    TeacherWarning,
    TrainedTeachers,
    check_teachers,
)
from fdkd_lightning.types import Batch, Output


def draw() -> tuple[float, float, float]:
    """One number of each global generator."""
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


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
    """Names the class that its input is; it draws from all generators."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.eye = nn.Parameter(torch.eye(classes))

    def forward(self, x: Tensor) -> Output:
        draw()
        logits = self.eye[x]
        return Output(logits, logits)


class Measure(LightningModule):
    """Measures its teachers where :class:`DistillationModule` does."""

    def __init__(self, max_batches: int = 50, **teachers: nn.Module) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.teachers = FrozenTeachers(teachers)
        self.max_batches = max_batches
        self.accuracies: dict[str, float] = {}
        self.drawn: tuple[float, ...] = ()

    def on_train_start(self) -> None:
        seed()
        self.accuracies = check_teachers(
            self.teachers, self.trainer, self.device, self.max_batches, lambda batch: batch
        )
        self.drawn = draw()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.weight * 1.0

    def validation_step(self, batch: Batch, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class MeasureTrained(Measure):
    """The same with teachers that are trained; remembers their modes after the measurement."""

    def __init__(self, max_batches: int = 50, **teachers: nn.Module) -> None:
        super().__init__(max_batches)
        self.teachers = TrainedTeachers(teachers)  # type: ignore[assignment]
        self.modes: set[bool] = set()

    def on_train_start(self) -> None:
        super().on_train_start()
        self.modes = {part.training for part in self.teachers.modules()}  # type: ignore[attr-defined]


def loader(said: Sequence[int], labels: Sequence[int], batch_size: int = 4) -> DataLoader[Any]:
    """Samples of which an :class:`Oracle` names the class ``said``."""
    samples = [{"audio": s, "text": 0, "label": y} for s, y in zip(said, labels, strict=True)]
    return DataLoader(samples, batch_size=batch_size)  # type: ignore[arg-type]


def fit(tmp_path: Path, module: Measure, validation: Any, **settings: Any) -> dict[str, float]:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        **(quiet | settings),
    ).fit(module, loader([0], [0]), validation)
    return module.accuracies


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
    module = Measure(audio=Net())
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


def test_each_accuracy_is_the_share_of_validation_samples_that_is_right(tmp_path: Path) -> None:
    validation = loader([0, 1, 2, 3, 0, 1, 2, 0, 0, 0], [0, 1, 2, 3, 0, 1, 2, 3, 3, 1])
    module = Measure(audio=Oracle(), text=Oracle())
    with pytest.warns(TeacherWarning, match="text"):
        accuracies = fit(tmp_path, module, validation)
    assert accuracies == pytest.approx({"audio": 0.7, "text": 0.2})


@pytest.mark.parametrize(("max_batches", "accuracy"), [(1, 1.0), (2, 0.5), (3, 0.6)])
def test_only_so_many_batches_are_looked_at(
    tmp_path: Path, max_batches: int, accuracy: float
) -> None:
    validation = loader([0, 1, 0, 0, 3], [0, 1, 2, 3, 3], batch_size=2)
    module = Measure(max_batches, audio=Oracle())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        assert fit(tmp_path, module, validation) == pytest.approx({"audio": accuracy})


def test_without_batches_teachers_or_validation_nothing_is_measured(tmp_path: Path) -> None:
    validation = loader([0], [0])
    assert fit(tmp_path, Measure(0, audio=Oracle()), validation) == {}
    assert fit(tmp_path, Measure(), validation) == {}
    assert fit(tmp_path, Measure(audio=Oracle()), None) == {}


def test_samples_without_a_label_do_not_count(tmp_path: Path) -> None:
    validation = loader([0, 1, 2, 3] * 3, [0, 1, 2, 3] + [-100] * 8)
    assert fit(tmp_path, Measure(audio=Oracle()), validation) == {"audio": 1.0}


class Painter(nn.Module):
    """Names the class of each pixel by its value."""

    def forward(self, x: Tensor) -> Output:
        logits = 9.0 * torch.nn.functional.one_hot(x, 4).movedim(-1, 1)
        return Output(logits, logits)


def test_where_each_pixel_has_a_label_each_counts(tmp_path: Path) -> None:
    said = torch.tensor([[0, 1, 2], [3, 0, 0]])
    label = torch.tensor([[0, 1, 3], [3, -100, 1]])
    validation = DataLoader([{"audio": said, "label": label}] * 3, batch_size=2)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        accuracies = fit(tmp_path, Measure(audio=Painter()), validation)
    assert accuracies == pytest.approx({"audio": 3 / 5})


def test_validation_without_labels_measures_nothing_and_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TeacherWarning)
        assert fit(tmp_path, Measure(audio=Oracle()), loader([0, 1], [-100, -100])) == {}


@pytest.mark.parametrize(("right", "near"), [(50, True), (59, True), (62, False), (100, False)])
def test_near_chance_is_within_two_standard_errors_of_it(
    tmp_path: Path, right: int, near: bool
) -> None:
    labels = [0, 1] * 50
    said = labels[:right] + [1 - label for label in labels[right:]]
    module, validation = Measure(audio=Oracle()), loader(said, labels, batch_size=100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fit(tmp_path, module, validation) == pytest.approx({"audio": right / 100})
    assert any(warning.category is TeacherWarning for warning in caught) == near


def test_chance_is_the_share_of_the_most_frequent_class(tmp_path: Path) -> None:
    labels = [0] * 80 + [1] * 20
    with pytest.warns(
        TeacherWarning,
        match=r"the audio teacher's accuracy is 0\.800 on 100 .* most frequent class gives 0\.800",
    ):
        fit(tmp_path, Measure(audio=Oracle()), loader([0] * 100, labels))


def test_each_accuracy_is_logged_under_its_modality(tmp_path: Path) -> None:
    validation = loader([0, 1, 2, 3] * 8, [0, 1, 2, 3] * 8)
    module = Measure(audio=Oracle())
    fit(tmp_path, module, validation, logger=CSVLogger(tmp_path, name="", version="log"))
    with (tmp_path / "log" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["teacher/audio/accuracy"]]
    assert [(row["step"], float(row["teacher/audio/accuracy"])) for row in rows] == [("0", 1.0)]


def test_measuring_moves_no_generator(tmp_path: Path) -> None:
    module = Measure(audio=Oracle())
    accuracies = fit(tmp_path, module, loader([0, 1, 2, 3] * 8, [0, 1, 2, 3] * 8))
    assert accuracies == {"audio": 1.0}
    seed()
    assert module.drawn == draw()


def test_a_teacher_whose_output_is_not_finite_is_an_error(tmp_path: Path) -> None:
    oracle = Oracle()
    nn.init.constant_(oracle.eye, float("nan"))
    with pytest.raises(ValueError, match="the audio teacher's features are NaN"):
        fit(tmp_path, Measure(audio=oracle), loader([0], [0]))


def partial_loader(
    said: Sequence[int], labels: Sequence[int], **have: Sequence[bool]
) -> DataLoader[Any]:
    """Samples that lack a modality; of such a blank an :class:`Oracle` knows nothing."""
    samples = []
    for i, (s, y) in enumerate(zip(said, labels, strict=True)):
        present = {modality: has[i] for modality, has in have.items()}
        inputs = {modality: s if has else 99 for modality, has in present.items()}
        samples.append({"audio": s, "text": s, **inputs, "label": y, "present": present})
    return DataLoader(samples, batch_size=4)  # type: ignore[arg-type]


def test_teachers_see_only_the_samples_that_have_their_modality() -> None:
    nets = {"audio": Oracle(), "text": Oracle(), "visual": Oracle()}
    batch = next(iter(partial_loader([0, 1, 2], [0, 0, 0], audio=[True, False, True])))
    batch |= {"visual": batch["text"]}
    batch["present"]["visual"] = torch.zeros(3, dtype=torch.bool)
    trained = TrainedTeachers(nets)
    for teachers in (FrozenTeachers(nets), trained, trained.eval()):
        answers = {m: output.logits.argmax(1).tolist() for m, output in teachers(batch).items()}
        assert answers == {"audio": [0, 2], "text": [0, 1, 2]}


def test_a_single_sample_that_is_left_trains_no_teacher() -> None:
    batch = next(iter(partial_loader([0, 1, 2], [0, 0, 0], audio=[False, False, True])))
    assert list(TrainedTeachers({"audio": Oracle()})(batch)) == []
    for teachers in (
        FrozenTeachers({"audio": Oracle()}),
        TrainedTeachers({"audio": Oracle()}).eval(),
    ):
        assert teachers(batch)["audio"].logits.argmax(1).tolist() == [2]


def test_each_teacher_is_measured_on_the_samples_that_have_its_modality(tmp_path: Path) -> None:
    said, labels = [0, 1, 2, 3, 0, 1, 2, 0, 0, 0], [0, 1, 2, 3, 0, 1, 2, 3, 3, 1]
    # The text's are the last two, in the last batch; nobody has a picture.
    validation = partial_loader(
        said, labels, audio=[i < 8 for i in range(10)], text=[i > 7 for i in range(10)]
    )
    module = Measure(audio=Oracle(), text=Oracle())
    with pytest.warns(TeacherWarning, match=r"the text teacher's accuracy is 0\.000 on 2"):
        assert fit(tmp_path, module, validation) == {"audio": 7 / 8, "text": 0}
    nobody = partial_loader(said, labels, audio=[True] * 10, text=[False] * 10)
    assert fit(tmp_path, Measure(audio=Oracle(), text=Oracle()), nobody) == {"audio": 0.7}


# Teachers that are trained.


def test_trained_teachers_are_part_of_the_module() -> None:
    net = Net()
    module = MeasureTrained(audio=net)
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


def test_trained_teachers_are_measured_in_eval_mode_and_go_on_in_train_mode(
    tmp_path: Path,
) -> None:
    seen: list[tuple[bool, bool]] = []

    class Seeing(Oracle):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.dropout = nn.BatchNorm1d(4), nn.Dropout(1.0)

        def forward(self, x: Tensor) -> Output:
            logits = self.dropout(self.norm(super().forward(x).logits))
            seen.append((self.dropout.training, logits.requires_grad))
            return Output(logits, logits)

    teacher = Seeing()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    module = MeasureTrained(audio=teacher)
    # In train mode dropout would leave nothing of the answers.
    validation = loader([0, 1, 2, 3] * 6, [0, 1, 2, 3] * 5 + [0, 0, 0, 0])
    accuracies = fit(tmp_path, module, validation)
    assert accuracies == pytest.approx({"audio": 21 / 24})
    assert seen == [(False, False)] * 6
    assert module.modes == {True}
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in teacher.parameters())


def test_measuring_trained_teachers_moves_no_generator(tmp_path: Path) -> None:
    module = MeasureTrained(audio=Oracle())
    assert fit(tmp_path, module, loader([0, 1, 2, 3] * 8, [0, 1, 2, 3] * 8)) == {"audio": 1.0}
    seed()
    assert module.drawn == draw()


def test_a_trained_teacher_near_chance_brings_a_warning(tmp_path: Path) -> None:
    module = MeasureTrained(audio=Oracle())
    with pytest.warns(TeacherWarning, match="the audio teacher's accuracy is 0.250 on 32"):
        fit(tmp_path, module, loader([0] * 32, [0, 1, 2, 3] * 8))


def test_after_an_error_trained_teachers_are_in_train_mode_again(tmp_path: Path) -> None:
    oracle = Oracle()
    nn.init.constant_(oracle.eye, float("nan"))
    module = MeasureTrained(audio=oracle)
    with pytest.raises(ValueError, match="the audio teacher's features are NaN"):
        fit(tmp_path, module, loader([0], [0]))
    assert oracle.training


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_they_run_in_the_trainers_precision(tmp_path: Path, precision: str) -> None:
    dtypes: list[torch.dtype] = []

    class Product(Oracle):
        def forward(self, x: Tensor) -> Output:
            output = super().forward(x)
            logits = output.logits @ self.eye
            dtypes.append(logits.dtype)
            return Output(logits, logits)

    validation = loader([0, 1, 2, 3] * 8, [0, 1, 2, 3] * 8)
    assert fit(tmp_path, Measure(audio=Product()), validation, precision=precision) == {
        "audio": 1.0
    }
    assert set(dtypes) == {torch.float32 if precision == "32-true" else torch.bfloat16}


def test_teachers_that_came_frozen_and_in_eval_mode_are_trained() -> None:
    net = Net().requires_grad_(False).eval()
    teachers = TrainedTeachers({"audio": net})
    assert net.training
    assert all(p.requires_grad for p in teachers.parameters())
