import csv
import logging
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.losses import OneClassTask
from fdkd_lightning.training.teacher_check import TeacherWarning, check_teachers
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.types import Batch, Output


def draw() -> tuple[float, float, float]:
    """One number of each global generator."""
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


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
            self.teachers,
            self.trainer,
            self.device,
            self.max_batches,
            lambda batch: batch,
            OneClassTask(),
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


class Pets(LightningDataModule):
    class_names = ("cat", "dog", "fish", "bird")

    def train_dataloader(self) -> DataLoader[Any]:
        return loader([0], [0])

    def val_dataloader(self) -> DataLoader[Any]:
        return loader([0, 1, 2, 3], [0, 1, 2, 3])


@pytest.mark.parametrize("names", [("ant", "bee"), ("dog", "cat", "fish", "bird")])
def test_a_teacher_of_other_classes_is_reported_and_not_measured(
    tmp_path: Path, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    foreign, same = Oracle(), Oracle()
    foreign.class_names, same.class_names = names, Pets.class_names  # type: ignore[assignment]  # as PretrainedModel
    module = Measure(audio=foreign, text=same)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, Pets())
    told = "".join([caplog.text, *(str(warning.message) for warning in caught)])
    assert f"audio teacher was trained on other classes ({', '.join(names)})" in told
    # Where a loss between logits would pair other classes without an error.
    pairs = [warning for warning in caught if "pair different classes" in str(warning.message)]
    assert len(pairs) == (len(names) == 4)
    assert module.accuracies == {"text": pytest.approx(0.25)}


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


PROCESS = """
import sys
import torch
import torch.distributed as dist
from fdkd_lightning.training.teacher_check import LabelCounts

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
found = []
for ranks in torch.load(f"{folder}/cases.pt"):
    counts = LabelCounts()
    for logits, target in ranks[rank]:
        counts.update(logits, target)
    found.append(counts.compute())
torch.save(found, f"{folder}/found{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_count_all_labels_once(in_processes: Callable[..., None], tmp_path: Path) -> None:
    def batch(said: Sequence[int], labels: Sequence[int]) -> tuple[Tensor, Tensor]:
        return torch.eye(4)[list(said)], torch.tensor(labels)

    cases = [
        # The most frequent class, 2, is it on neither rank alone.
        [
            [batch([0, 0, 2], [0, 0, 2]), batch([0, 2], [0, 2])],
            [batch([1, 1, 1, 1], [1, 1, 1, 2]), batch([3], [2])],
        ],
        # A rank without samples, and a label that the teacher does not know.
        [[], [batch([1, 1, 1], [1, -100, 7])]],
        [[], []],
    ]
    torch.save(cases, tmp_path / "cases.pt")
    in_processes(PROCESS, tmp_path)
    for rank in range(2):
        found = [counts.tolist() for counts in torch.load(tmp_path / f"found{rank}.pt")]
        assert found == [[8, 10, 4], [1, 2, 1], [0, 0, 0]]
