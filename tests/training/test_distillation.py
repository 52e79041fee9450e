import copy
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fits import equal, trainer, values
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from sharded import FSDPOnCPU
from torch import Tensor, nn
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.decoupler import FrequencyDecoupler, LearnableFrequencyDecoupler
from fdkd_lightning.losses import (
    DistillationLoss,
    DKDLoss,
    FDKDLoss,
    FeatureLoss,
    KDLoss,
    MFHLoss,
    MutualLoss,
    ShuffledPairs,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.base import require_teacher
from fdkd_lightning.losses.composite import CompositeLoss
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.pairs import Pair
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teacher_check import TeacherWarning
from fdkd_lightning.training.teacher_weights import ConfidenceWeights, LearnedWeights
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.types import Batch, Output

SIZES = {"audio": 6, "visual": 5, "text": 6}
WIDTH, CLASSES = 8, 3


class Samples(Dataset[Batch]):
    """Sample i has class i mod 3, which any modality shows."""

    def __init__(self, size: int, seed: int, labelled: Callable[[int], bool]) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.classes = torch.arange(size) % CLASSES
        self.inputs = {
            modality: 4 * F.one_hot(self.classes, width)
            + torch.randn(size, width, generator=generator)
            for modality, width in SIZES.items()
        }
        self.labelled = labelled
        # Modality -> whether sample i has it; what stands in its place would spoil all it touched.
        self.have: Mapping[str, Callable[[int], bool]] = {}

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, i: int) -> Batch:
        label = self.classes[i] if self.labelled(i) else torch.tensor(-100)
        sample = {m: x[i] for m, x in self.inputs.items()} | {"label": label, "index": i}
        if not self.have:
            return sample
        present = {m: has(i) for m, has in self.have.items()}
        blanks = {m: sample[m] * torch.nan for m, has in present.items() if not has}
        return sample | blanks | {"present": present}


class Pairs(MultimodalDataModule):
    """24 training and 8 validation and test samples; training labels by ``train_labels``."""

    class_names = ("a", "b", "c")
    available_modalities = tuple(SIZES)
    train_labels: Callable[[int], bool] = staticmethod(lambda i: True)
    val_labels: Callable[[int], bool] = staticmethod(lambda i: True)

    def make_dataset(self, split: str) -> Samples:
        if split == "train":
            return Samples(24, 0, self.train_labels)
        return Samples(8, 1, self.val_labels)


class Net(nn.Module):
    def __init__(
        self, modality: str, width: int = WIDTH, seed: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body, self.head = nn.Linear(SIZES[modality], width), nn.Linear(width, CLASSES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Output:
        features = self.dropout(self.body(x).relu())
        return Output(features, self.head(features))


class Normed(Net):
    """With what train mode would show in: batch norm and dropout."""

    def __init__(self, modality: str) -> None:
        super().__init__(modality, dropout=0.5)
        self.norm = nn.BatchNorm1d(SIZES[modality])

    def forward(self, x: Tensor) -> Output:
        return super().forward(self.norm(x))


class Knowing(Net):
    """Reads the class from the input, which shows it; counts how often it is asked."""

    def __init__(self, modality: str = "audio") -> None:
        super().__init__(modality)
        self.calls = 0
        self.may_be_called = True

    def forward(self, x: Tensor) -> Output:
        assert self.may_be_called
        self.calls += 1
        return super().forward(x)._replace(logits=x[:, :CLASSES])


class Ignorant(Net):
    """Always says class 0."""

    def forward(self, x: Tensor) -> Output:
        logits = torch.tensor([1.0, 0.0, 0.0], dtype=x.dtype).expand(len(x), CLASSES)
        return super().forward(x)._replace(logits=logits)


class Record(Logger):
    """What was logged, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[float]] = {}

    @property
    def name(self) -> str:
        return "record"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            self.values.setdefault(name, []).append(value)


def fdkd(aligned: bool = True) -> FDKDLoss:
    return FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead() if aligned else None)


def distillation(criterion: DistillationLoss | None = None, **settings: Any) -> DistillationModule:
    """A visual student and an audio teacher, unless the settings say otherwise."""
    defaults: dict[str, Any] = {
        "student": Net("visual"),
        "teachers": {"audio": Net("audio", seed=1)},
        "student_modality": "visual",
        "teacher_check_batches": 0,
    }
    return DistillationModule(criterion=criterion or fdkd(), **(defaults | settings))


def sgd(**settings: Any) -> Callable[..., torch.optim.Optimizer]:
    return partial(torch.optim.SGD, **settings)


def logged(fit: Trainer, stage: str = "train") -> dict[str, float]:
    found = fit.callback_metrics.items()
    return {k.removeprefix(f"{stage}/"): float(v) for k, v in found if k.startswith(stage)}


def first_step(tmp_path: Path, module: DistillationModule, **data: Any) -> dict[str, float]:
    """The terms of the whole training split, by the weights that the module starts from."""
    torch.manual_seed(0)
    pairs = Pairs(batch_size=24)
    for name, value in data.items():
        setattr(pairs, name, value)
    fit = trainer(tmp_path)
    fit.fit(module, datamodule=pairs)
    return logged(fit)


def whole_split(**data: Any) -> Batch:
    samples = Samples(24, 0, data.get("train_labels", Pairs.train_labels))
    batch = [samples[i] for i in range(24)]
    return {key: torch.stack([torch.as_tensor(b[key]) for b in batch]) for key in batch[0]}


class Saboteur(Callback):
    """Puts everything into train mode before each batch."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        pl_module.train()

    on_validation_batch_start = on_train_batch_start


class Modes(Callback):
    """The teacher's modes after each training batch."""

    def __init__(self, teacher: nn.Module) -> None:
        self.teacher = teacher
        self.seen: list[bool] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen += [part.training for part in self.teacher.modules()]


def test_training_leaves_the_teacher_as_it_was(tmp_path: Path) -> None:
    teacher = Normed("audio")
    before, modes = values(teacher), Modes(teacher)
    module = distillation(teachers={"audio": teacher}, teacher_check_batches=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        fit = trainer(tmp_path, Saboteur(), modes, epochs=2)
        fit.fit(module, datamodule=Pairs(batch_size=4))
    assert len(modes.seen) >= 12
    assert not any(modes.seen)
    assert equal(values(teacher), before)
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())


def test_a_teacher_that_was_put_into_train_mode_teaches_in_eval_mode(tmp_path: Path) -> None:
    teacher = Normed("audio")
    before = values(teacher)
    module = distillation(teachers={"audio": teacher})
    teacher.train()
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    assert equal(values(teacher), before)


def tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            yield from tensors(part)


def test_no_teacher_is_in_the_state_the_checkpoint_or_the_optimizer(tmp_path: Path) -> None:
    teacher = Net("audio", width=11)
    module = distillation(
        teachers={"audio": teacher}, projector=Projector(), optimizer=torch.optim.Adam
    )
    fit = trainer(tmp_path)
    fit.fit(module, datamodule=Pairs(batch_size=4))
    fit.save_checkpoint(tmp_path / "fit.ckpt")
    # weights_only: the file holds no pickled code either.
    stored = torch.load(tmp_path / "fit.ckpt", weights_only=True)
    parts = ["criterion.alignment.low", "criterion.alignment.high", "projector.linear.11"]
    layers = ["model.body", "model.head", *(f"distiller.{part}" for part in parts)]
    names = {f"{layer}.{p}" for layer in layers for p in ("weight", "bias")}
    assert set(module.state_dict()) == set(stored["state_dict"]) == names
    shapes = {tuple(x.shape) for x in tensors(stored)}
    assert (11, WIDTH) in shapes  # the projector
    assert not shapes & {tuple(p.shape) for p in teacher.body.parameters() if p.dim() > 1}
    (optimizer,) = fit.optimizers
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for p in module.parameters()}
    assert not optimized & {id(p) for p in teacher.parameters()}


def test_a_pretrained_teacher_is_read_when_fit_begins_and_never_again(tmp_path: Path) -> None:
    source, file = Net("audio", seed=5), tmp_path / "teacher.pt"
    teacher = PretrainedModel(Net("audio", seed=6), file)
    module = distillation(teachers={"audio": teacher})
    torch.save(source.state_dict(), file)
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    assert equal(values(teacher.model), values(source))
    file.unlink()
    data = Pairs(batch_size=4)
    trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    trainer(tmp_path).test(module, datamodule=data, verbose=False)
    trainer(tmp_path).predict(module, datamodule=data)
    trainer(tmp_path).fit(module, datamodule=data)
    assert equal(values(teacher.model), values(source))
    unread = distillation(teachers={"audio": PretrainedModel(Net("audio", seed=6), file)})
    with pytest.raises(FileNotFoundError, match=r"teacher\.pt' is not a file .*train that model"):
        trainer(tmp_path).fit(unread, datamodule=data)


def test_a_checkpoint_is_tested_without_the_teachers_file(tmp_path: Path) -> None:
    module, fit, stored = distillation(projector=Projector()), trainer(tmp_path), "fit.ckpt"
    fit.fit(module, datamodule=Pairs(batch_size=4))
    fit.save_checkpoint(tmp_path / stored)
    teacher = PretrainedModel(Net("audio", seed=6), tmp_path / "nowhere.pt")
    fresh = distillation(
        student=Net("visual", seed=3), teachers={"audio": teacher}, projector=Projector()
    )
    test = trainer(tmp_path)
    test.test(fresh, datamodule=Pairs(), ckpt_path=tmp_path / stored, verbose=False)
    assert equal(values(fresh), values(module))


def test_each_term_is_logged_and_the_loss_is_their_sum(tmp_path: Path) -> None:
    fit = trainer(tmp_path)
    fit.fit(distillation(), datamodule=Pairs(batch_size=4))
    terms = logged(fit)
    loss = terms.pop("loss")
    assert set(terms) == {"task", "low", "high", "align"}
    assert all(term > 0 for term in terms.values())
    assert loss == pytest.approx(sum(terms.values()), rel=1e-5)
    assert set(logged(fit, "val")) == {"loss", "accuracy", "macro_f1"}


def test_the_terms_are_the_criterions(tmp_path: Path) -> None:
    module, batch = distillation(FDKDLoss(FrequencyDecoupler(), lambda_low=3.0)), whole_split()
    student, teacher = module(batch["visual"]), module.teachers["audio"](batch["audio"])
    terms = module.criterion(student, teacher, batch["label"])
    terms["task"] = F.cross_entropy(student.logits, batch["label"])
    found = first_step(tmp_path, module)
    del found["loss"]
    assert found == {name: pytest.approx(term.item(), rel=1e-4) for name, term in terms.items()}


class Losses(Callback):
    """The terms of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append(logged(trainer))


def test_every_term_falls_and_the_classes_are_learnt(tmp_path: Path) -> None:
    losses = Losses()
    fit = trainer(tmp_path, losses, epochs=8)
    fit.fit(distillation(), datamodule=Pairs(batch_size=4))
    first, last = losses.epochs[0], losses.epochs[-1]
    assert set(first) == {"loss", "task", "low", "high", "align"}
    assert all(last[name] < 0.8 * first[name] for name in first)
    assert logged(fit, "val")["accuracy"] == 1


@pytest.mark.parametrize("weight", [0.25, 2.0])
def test_the_task_weight_scales_the_task(tmp_path: Path, weight: float) -> None:
    batch = whole_split()
    expected = F.cross_entropy(Net("visual")(batch["visual"]).logits, batch["label"]).item()
    found = first_step(tmp_path, distillation(task_weight=weight))
    assert found["task"] == pytest.approx(weight * expected, rel=1e-5)


def test_without_a_task_weight_there_is_no_task(tmp_path: Path) -> None:
    module = distillation(FeatureLoss(), task_weight=None)
    head = values(module.model.head)
    found = first_step(tmp_path, module)
    assert set(found) == {"loss", "feature"}
    assert found["loss"] == found["feature"]
    assert equal(values(module.model.head), head)


def test_without_teachers_the_same_criterion_gives_its_teacher_free_terms(tmp_path: Path) -> None:
    module, batch = distillation(fdkd(), teachers={}), whole_split()
    module.criterion.build(module(batch["visual"]), None)
    expected = module.criterion(module(batch["visual"]), None, batch["label"])["align"].item()
    found = first_step(tmp_path, module)
    assert set(found) == {"loss", "task", "align"}
    assert found["align"] == pytest.approx(expected, rel=1e-5)
    assert found["loss"] == pytest.approx(found["task"] + found["align"], rel=1e-5)


def sizes(module: DistillationModule) -> tuple[int | None, int | None]:
    assert module.distiller.projector is not None
    (layer,) = module.distiller.projector.linear.values()
    assert isinstance(layer, ProbedLinear)
    return layer.in_features, layer.out_features


def test_without_teachers_a_projector_keeps_the_width(tmp_path: Path) -> None:
    module = distillation(teachers={}, projector=Projector())
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    assert sizes(module) == (WIDTH, WIDTH)


def test_a_criterion_that_needs_a_teacher_is_an_error_without_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="KDLoss has no term without a teacher: give `teachers`"):
        trainer(tmp_path).fit(distillation(KDLoss(), teachers={}), datamodule=Pairs())


def test_an_argument_in_the_place_of_another_is_named() -> None:
    net = Net("audio")
    wrong: list[tuple[tuple[Any, ...], str]] = [
        (("audio", net, {}, KDLoss()), r"student='audio' is of type str: give a torch.nn.Module"),
        ((net, [Net("text")], KDLoss(), "audio"), "teachers is of type list: give a dict"),
        ((net, {"text": "net"}, KDLoss(), "audio"), r"teachers\['text'\]='net' is of type str"),
        ((net, {}, nn.CrossEntropyLoss(), "audio"), "criterion is of type CrossEntropyLoss"),
    ]
    for arguments, message in wrong:
        with pytest.raises(TypeError, match=message):
            DistillationModule(*arguments)


def test_a_teacher_that_shares_weights_with_the_student_is_an_error() -> None:
    student, teacher = Net("audio"), Net("text")
    teacher.head = student.head
    message = r"teachers\['text'\] shares weights with the student .* copy \(copy\.deepcopy\)"
    with pytest.raises(ValueError, match=message):
        distillation(student=student, teachers={"text": teacher})
    assert all(p.requires_grad for p in student.parameters())
    distillation(student=student, teachers={"text": copy.deepcopy(teacher)})
    assert all(p.requires_grad for p in student.parameters())


def test_a_controls_projector_may_keep_the_teachers_width(tmp_path: Path) -> None:
    module = distillation(teachers={}, projector=Projector(out_features=11))
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    assert sizes(module) == (WIDTH, 11)


def test_a_projector_that_the_criterion_leaves_out_gets_a_zero_gradient(tmp_path: Path) -> None:
    """DDP waits for the gradient of every parameter."""
    module = distillation(criterion=KDLoss(), projector=Projector())
    gradients: list[Tensor | None] = []

    class Look(Callback):
        def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
            assert module.distiller.projector is not None
            gradients.extend(p.grad for p in module.distiller.projector.parameters())

    trainer(tmp_path, Look()).fit(module, datamodule=Pairs(batch_size=4))
    assert gradients
    assert all(g is not None and not g.any() for g in gradients)


@pytest.mark.parametrize("criterion", [FeatureLoss, fdkd])
def test_other_widths_without_a_projector_are_an_error(
    tmp_path: Path, criterion: Callable[[], DistillationLoss]
) -> None:
    module = distillation(criterion(), teachers={"audio": Net("audio", width=12)})
    message = r"\[4, 8\], the teacher's \[4, 12\]: set the module's `projector`"
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))


class AtStart(Callback):
    """The values before the first step."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.values = values(pl_module)


@pytest.mark.parametrize(
    "part", ["distiller.projector.linear.12", "distiller.criterion.alignment.low"]
)
def test_what_was_probed_has_its_size_is_optimized_and_moves(tmp_path: Path, part: str) -> None:
    teacher, start = Net("audio", width=12), AtStart()
    module = distillation(teachers={"audio": teacher}, projector=Projector())
    assert not list(module.distiller.parameters())
    fit = trainer(tmp_path, start)
    fit.fit(module, datamodule=Pairs(batch_size=4))
    layer = module.get_submodule(part)
    assert isinstance(layer, ProbedLinear)
    expected = (WIDTH, 12) if "projector" in part else (12, CLASSES)
    assert (layer.in_features, layer.out_features) == expected
    optimized = {id(p) for group in fit.optimizers[0].param_groups for p in group["params"]}
    for name, parameter in layer.named_parameters():
        assert id(parameter) in optimized
        assert not torch.equal(parameter, start.values[f"{part}.{name}"])


def test_unlabelled_samples_take_part_in_the_distances_alone(tmp_path: Path) -> None:
    module, start = distillation(optimizer=sgd(lr=0.1)), AtStart()
    data = Pairs(batch_size=4)
    data.train_labels = lambda i: False
    fit = trainer(tmp_path, start)
    fit.fit(module, datamodule=data)
    terms = logged(fit)
    assert terms["task"] == terms["align"] == 0
    assert terms["low"] > 0
    assert terms["high"] > 0
    moved = {name for name, x in values(module).items() if not torch.equal(x, start.values[name])}
    assert moved == {"model.body.weight", "model.body.bias"}


def test_the_distances_are_the_same_with_and_without_labels(tmp_path: Path) -> None:
    labelled, unlabelled = (
        first_step(tmp_path, distillation(), train_labels=lambda i, have=have: have)
        for have in (True, False)
    )
    for name in ("low", "high"):
        assert unlabelled[name] == pytest.approx(labelled[name], rel=1e-5)
    assert labelled["task"] > 0


def test_the_terms_are_averaged_over_the_teachers(tmp_path: Path) -> None:
    networks = {"audio": Net("audio", seed=1), "text": Net("text", seed=2)}
    choices = ["audio"], ["text"], ["audio", "text"]
    audio, text, both = (
        first_step(tmp_path, distillation(teachers={name: networks[name] for name in names}))
        for names in choices
    )
    assert audio["low"] != pytest.approx(text["low"], rel=0.01)
    assert both == {name: pytest.approx((audio[name] + text[name]) / 2, rel=1e-5) for name in audio}


def test_only_training_calls_the_teacher(tmp_path: Path) -> None:
    teacher, data = Knowing(), Pairs(batch_size=4)
    module = distillation(teachers={"audio": teacher})
    trainer(tmp_path, epochs=2).fit(module, datamodule=data)
    assert teacher.calls == 1 + 2 * 6  # the probe and the training batches
    teacher.may_be_called = False
    trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    trainer(tmp_path).test(module, datamodule=data, verbose=False)
    found = trainer(tmp_path).predict(module, datamodule=data)
    assert found is not None
    probabilities = torch.cat([batch["probabilities"] for batch in found])
    visual = torch.stack([data.datasets["test"][i]["visual"] for i in range(8)])
    torch.testing.assert_close(probabilities, module(visual).logits.softmax(1))


def checked(
    tmp_path: Path, teachers: dict[str, nn.Module], batches: int = 50, **data: Any
) -> dict[str, list[float]]:
    """The teachers' accuracies as they were logged."""
    record, pairs = Record(), Pairs(batch_size=4, transforms=data.pop("transforms", None))
    for name, value in data.items():
        setattr(pairs, name, value)
    module = distillation(teachers=teachers, teacher_check_batches=batches)
    fit = trainer(tmp_path, epochs=2, logger=record, log_every_n_steps=1)
    fit.fit(module, datamodule=pairs)
    return {name: value for name, value in record.values.items() if name.startswith("teacher")}


@pytest.mark.filterwarnings("error::fdkd_lightning.training.teacher_check.TeacherWarning")
def test_a_good_teachers_accuracy_is_logged_once_without_a_warning(tmp_path: Path) -> None:
    found = checked(tmp_path, {"audio": Knowing(), "text": Knowing("text")})
    assert found == {"teacher/audio/accuracy": [1.0], "teacher/text/accuracy": [1.0]}


# Of the 8 validation samples 3 are of class 0 (0, 3, 6); of the first batch's 4, two.
@pytest.mark.parametrize(
    ("batches", "labels", "accuracy"),
    [(50, lambda i: True, 3 / 8), (1, lambda i: True, 2 / 4), (50, lambda i: i > 0, 2 / 7)],
    ids=["all", "one batch", "some labels"],
)
def test_a_teacher_near_chance_brings_a_warning(
    tmp_path: Path, batches: int, labels: Callable[[int], bool], accuracy: float
) -> None:
    message = rf"the audio teacher's accuracy is {accuracy:.3f} on .* check its checkpoint"
    with pytest.warns(TeacherWarning, match=message):
        found = checked(tmp_path, {"audio": Ignorant("audio")}, batches, val_labels=labels)
    assert found == {"teacher/audio/accuracy": [pytest.approx(accuracy)]}


@pytest.mark.filterwarnings("error::fdkd_lightning.training.teacher_check.TeacherWarning")
@pytest.mark.parametrize(
    ("batches", "labels"),
    [(0, lambda i: True), (50, lambda i: False)],
    ids=["no batch", "no label"],
)
def test_without_batches_or_labels_no_teacher_is_measured(
    tmp_path: Path, batches: int, labels: Callable[[int], bool]
) -> None:
    assert checked(tmp_path, {"audio": Ignorant("audio")}, batches, val_labels=labels) == {}


@pytest.mark.filterwarnings("error::fdkd_lightning.training.teacher_check.TeacherWarning")
def test_teachers_are_measured_on_data_that_is_not_augmented(tmp_path: Path) -> None:
    found = checked(tmp_path, {"audio": Knowing()}, transforms={"audio": nn.Dropout(1.0)})
    assert found == {"teacher/audio/accuracy": [1.0]}


@pytest.mark.parametrize("batches", [0, 1])
def test_a_teacher_that_is_not_finite_is_an_error(tmp_path: Path, batches: int) -> None:
    teacher = Net("audio")
    nn.init.constant_(teacher.head.bias, float("nan"))
    module = distillation(teachers={"audio": teacher}, teacher_check_batches=batches)
    message = "12 of 12 values of the audio teacher's logits are NaN .*check its weights"
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))


def test_a_teachers_modality_that_the_batch_lacks_is_an_error(tmp_path: Path) -> None:
    data = Pairs(batch_size=4)
    data.make_dataset = lambda split: [  # type: ignore[method-assign,assignment,return-value]
        {"visual": torch.ones(5), "label": 0, "index": i} for i in range(4)
    ]
    with pytest.raises(KeyError, match=r"no modality 'audio', only: visual\. Name one"):
        trainer(tmp_path).fit(distillation(), datamodule=data)


def test_a_student_may_start_from_weights(tmp_path: Path) -> None:
    source, file = Net("visual", seed=5), tmp_path / "student.pt"
    torch.save(source.state_dict(), file)
    student = PretrainedModel(Net("visual", seed=6), file)
    module = distillation(student=student, optimizer=sgd(lr=0.0))
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    assert equal(values(student.model), values(source))


class Warming(FeatureLoss):
    """Remembers the epochs that were set, and the last one at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.steps: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        self.steps.append(self.epochs[-1])
        return super().forward(student, teacher, target)


def test_the_criterions_epoch_is_set_before_its_steps(tmp_path: Path) -> None:
    criterion = Warming()
    fit = trainer(tmp_path, epochs=2)
    fit.fit(distillation(criterion), datamodule=Pairs(batch_size=8))
    assert sorted(set(criterion.epochs)) == [0, 1]
    assert criterion.steps == [0, 0, 0, 1, 1, 1]
    fit.save_checkpoint(tmp_path / "two.ckpt")
    resumed = Warming()
    fit, data = trainer(tmp_path, epochs=4), Pairs(batch_size=8)
    fit.fit(distillation(resumed), datamodule=data, ckpt_path=tmp_path / "two.ckpt")
    assert sorted(set(resumed.epochs)) == [2, 3]
    assert resumed.steps == [2, 2, 2, 3, 3, 3]


def test_a_run_that_resumes_within_an_epoch_sets_it(tmp_path: Path) -> None:
    stored = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)
    fit = trainer(tmp_path, stored, epochs=2)
    fit.fit(distillation(Warming()), datamodule=Pairs(batch_size=8))
    resumed = Warming()
    fit, data = trainer(tmp_path, epochs=3), Pairs(batch_size=8)
    fit.fit(distillation(resumed), datamodule=data, ckpt_path=tmp_path / "step=5.ckpt")
    # Two of the three steps of epoch 1 are done.
    assert resumed.steps == [1, 2, 2, 2]


def resumable(
    tmp_path: Path, *callbacks: Callback, seed: int = 0, ckpt: Path | None = None
) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    module = distillation(
        student=Net("visual", width=6, dropout=0.5, seed=0 if ckpt is None else seed),
        teachers={"audio": Knowing()},
        projector=Projector(),
        teacher_check_batches=2,
    )
    data = Pairs(batch_size=4)
    data.train_labels = lambda i: i % 4 > 0
    trainer(tmp_path, *callbacks, epochs=4).fit(module, datamodule=data, ckpt_path=ckpt)
    return values(module)


def test_a_resumed_run_ends_with_the_same_weights_bitwise(tmp_path: Path) -> None:
    whole = resumable(tmp_path, ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1))
    for epoch in (0, 2):
        assert equal(resumable(tmp_path, seed=1, ckpt=tmp_path / f"epoch={epoch}.ckpt"), whole)
    # Without its checkpoint it would not.
    assert not equal(resumable(tmp_path, seed=1), whole)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_it_trains_in_bfloat16(tmp_path: Path, precision: Any) -> None:
    module, start = (
        distillation(teachers={"audio": Knowing()}, projector=Projector(), teacher_check_batches=2),
        AtStart(),
    )
    fit = trainer(tmp_path, start, epochs=2, precision=precision)
    fit.fit(module, datamodule=Pairs(batch_size=4))
    terms = logged(fit) | logged(fit, "val")
    assert {"loss", "task", "low", "high", "align", "accuracy"} <= set(terms)
    assert all(torch.tensor(list(terms.values())).isfinite())
    dtype = torch.bfloat16 if precision == "bf16-true" else torch.float32
    for name, value in values(module).items():
        assert value.dtype == dtype
        assert value.isfinite().all()
        assert not torch.equal(value, start.values[name])
    trainer(tmp_path, precision=precision).test(module, datamodule=Pairs(), verbose=False)


def test_fit_may_follow_validation_in_bfloat16(tmp_path: Path) -> None:
    module, data = distillation(), Pairs(batch_size=4)
    trainer(tmp_path, precision="bf16-true").validate(module, datamodule=data, verbose=False)
    fit = trainer(tmp_path, precision="bf16-true")
    fit.fit(module, datamodule=data)
    assert torch.tensor(list(logged(fit).values())).isfinite().all()


class Partial(Pairs):
    """Samples that lack a modality: which training samples, and which others, have it."""

    have: Mapping[str, Callable[[int], bool]] = MappingProxyType({})
    eval_have: Mapping[str, Callable[[int], bool]] = MappingProxyType({})

    def make_dataset(self, split: str) -> Samples:
        samples, have = (
            super().make_dataset(split),
            self.have if split == "train" else self.eval_have,
        )
        find = samples.__class__.__getitem__

        class Lacking(Samples):
            def __getitem__(self, i: int) -> Batch:
                sample = find(self, i)
                sample["present"] = {name: has(i) for name, has in have.items()}
                for name, has in sample["present"].items():
                    sample[name] = sample[name] if has else sample[name] * torch.nan
                return sample if have else {k: v for k, v in sample.items() if k != "present"}

        samples.__class__ = Lacking
        return samples


def partial_pairs(batch_size: int, **have: Callable[[int], bool]) -> Partial:
    data = Partial(batch_size=batch_size)
    data.have = have
    return data


# In the order of seed 0 the ranks have one and one of the audio's, two and none, one and none,
# or none at all; the student's are never all missing.
RARE, MOST = {0, 7, 9, 17}, {*range(24)} - {3, 11}
# Of these a rank has two at least, which a teacher that is trained needs to see any.
MANY = {*range(24)} - {5, 14}


def to_be_fit() -> Iterator[tuple[DistillationModule, dict[str, Callable[[int], bool]]]]:
    """Modules, and which training samples have which modality."""
    rare = {"audio": RARE.__contains__, "text": lambda i: bool(i % 2)}
    many = {"audio": MANY.__contains__, "text": MOST.__contains__}
    for kind, have in itertools.product(("plain", "confidence", "mutual"), (None, rare, many)):
        torch.manual_seed(0)
        settings: dict[str, Any] = {"teachers": {"audio": Knowing(), "text": Net("text", seed=2)}}
        if kind == "confidence":
            settings["teacher_weights"] = ConfidenceWeights()
        if kind == "mutual":
            settings = {
                "teachers": {"audio": Net("audio", seed=1), "text": Net("text", seed=2)},
                "criterion": MutualLoss(fdkd()),
                "train_teachers": True,
                "teacher_weights": LearnedWeights(),
            }
        if have is not (many if kind != "mutual" else rare):
            module = distillation(
                student=Net("visual", width=6),
                projector=Projector(),
                teacher_check_batches=2,
                **settings,
            )
            yield module, {} if have is None else have | {"visual": MOST.__contains__}


def fit_on_two(rank: int, folder: Path) -> None:
    fit_on(2, folder)


def fit_on(ranks: int, folder: Path) -> None:
    """Two epochs on batches of 8, shared between the ranks; weights and metrics to a file."""
    results = []
    for module, have in to_be_fit():
        data = partial_pairs(8 // ranks, **have)
        data.eval_have = {"audio": lambda i: i > 5, "text": lambda i: i == 2} if have else {}
        # Few labels: in most batches one rank has more of them than the other.
        data.train_labels = lambda i: i % 5 < 2
        record = Record()
        fit = trainer(
            folder,
            logger=record,
            epochs=2,
            precision="64-true",
            devices=ranks,
            strategy="ddp" if ranks > 1 else "auto",
        )
        fit.fit(module, datamodule=data)
        metrics = {name: value.double() for name, value in fit.callback_metrics.items()}
        metrics |= {
            name: torch.tensor(found).double()
            for name, found in record.values.items()
            if name.startswith("teacher")
        }
        results.append((values(module), metrics))
    if fit.is_global_zero:
        torch.save(results, folder / f"{ranks}.pt")


def fit_sharded_on_two(rank: int, folder: Path) -> None:
    # Each layer's parameters on both ranks, or all in one piece: the teacher's on the second rank.
    units = ModuleWrapPolicy({nn.Linear})
    fit_resumed(folder / "fdkd2", 2, lambda: FSDPOnCPU(auto_wrap_policy=units))
    fit_resumed(folder / "mutual2", 2, FSDPOnCPU)


def fit_resumed(folder: Path, ranks: int, strategy: Callable[[], Any]) -> None:
    """An epoch, and another from its checkpoint."""
    path: Path | None = None
    for epoch in range(2):
        torch.manual_seed(0)
        module = distillation(
            student=Net("visual", width=6),
            projector=Projector(),
            criterion=FDKDLoss(LearnableFrequencyDecoupler(), SharedAlignmentHead()),
        )
        if folder.name.startswith("mutual"):
            criterion = MutualLoss(KDLoss())
            student = Net("visual", width=64)
            module = distillation(criterion, student=student, train_teachers=True)
        data = partial_pairs(8 // ranks)
        data.train_labels = lambda i: i % 5 < 2
        save = ModelCheckpoint(folder, filename=str(epoch))
        fit = trainer(folder, save, epochs=epoch + 1, devices=ranks, strategy=strategy())
        fit.fit(module, datamodule=data, ckpt_path=path)
        path = folder / f"{epoch}.ckpt"


@pytest.fixture(scope="module")
def two_ranks(on_two_ranks: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all fits on two ranks wrote what they found: to start the ranks takes longest."""
    folder = tmp_path_factory.mktemp("two_ranks")
    on_two_ranks(folder, fit_on_two, fit_sharded_on_two)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fdkd_lightning.training.teacher_check.TeacherWarning")
def test_two_ranks_learn_what_one_learns_from_the_whole_batch(two_ranks: Path) -> None:
    fit_on(1, two_ranks)
    both = zip(*(torch.load(two_ranks / f"{n}.pt") for n in (1, 2)), strict=True)
    for (one, alone), (two, together) in both:
        torch.testing.assert_close(two, one, rtol=0, atol=1e-9)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fdkd", "mutual"])
def test_two_ranks_of_fsdp_learn_and_save_what_one_process_does(two_ranks: Path, name: str) -> None:
    fit_resumed(two_ranks / f"{name}1", 1, lambda: "auto")
    for file in ("0.ckpt", "1.ckpt"):
        one, two = (
            torch.load(two_ranks / f"{name}{ranks}" / file, weights_only=True)["state_dict"]
            for ranks in (1, 2)
        )
        torch.testing.assert_close(two, one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["task", "loss"])
def test_a_term_must_not_take_the_modules_own_names(tmp_path: Path, name: str) -> None:
    class Named(DistillationLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            return {name: student.features.mean()}

    with pytest.raises(ValueError, match=f"Named uses the name {name}, which is reserved"):
        trainer(tmp_path).fit(distillation(criterion=Named()), datamodule=Pairs(batch_size=4))


# Teachers that are trained.


class Mutual(DistillationLoss):
    """Lets gradients through to the teacher."""

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        teacher = require_teacher(self, teacher)
        return {"mutual": F.mse_loss(student.logits, teacher.logits)}


class AfterCheck(Callback):
    """Values and modes of the teachers once they are measured, before the first step."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DistillationModule)
        assert isinstance(pl_module.teachers, TrainedTeachers)
        self.values = values(pl_module.teachers)
        self.modes = {part.training for part in pl_module.teachers.modules()}


def test_teachers_are_frozen_unless_they_are_to_be_trained() -> None:
    frozen, trained = distillation(), distillation(train_teachers=True)
    assert isinstance(frozen.teachers, FrozenTeachers)
    assert isinstance(trained.teachers, TrainedTeachers)
    assert not any("teacher" in name for name in frozen.state_dict())
    assert not any(p.requires_grad for p in frozen.teachers["audio"].parameters())
    names = {f"teachers.audio.{name}" for name in trained.teachers["audio"].state_dict()}
    assert {name for name in trained.state_dict() if "teacher" in name} == names
    assert "teachers.audio.body.weight" in names
    assert all(p.requires_grad for p in trained.teachers["audio"].parameters())


def test_a_trained_teacher_learns_in_train_mode_and_is_optimized(tmp_path: Path) -> None:
    teacher = Normed("audio")
    before, modes = values(teacher), Modes(teacher)
    module = distillation(Mutual(), teachers={"audio": teacher}, train_teachers=True)
    fit = trainer(tmp_path, modes, epochs=2)
    fit.fit(module, datamodule=Pairs(batch_size=4))
    assert len(modes.seen) >= 12
    assert all(modes.seen)
    assert all(not torch.equal(x, before[name]) for name, x in values(teacher).items())
    # Twelve steps; neither the probe nor validation is one.
    assert teacher.norm.num_batches_tracked == 12
    optimized = {id(p) for group in fit.optimizers[0].param_groups for p in group["params"]}
    assert optimized == {id(p) for p in module.parameters()}
    assert optimized >= {id(p) for p in teacher.parameters()}


def test_a_criterion_that_lets_no_gradient_through_to_teachers_is_an_error(tmp_path: Path) -> None:
    module = distillation(teachers={"audio": Net("audio", seed=1)}, train_teachers=True)
    with pytest.raises(ValueError, match="no gradient of FDKDLoss reaches the teachers"):
        trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))


def test_several_teachers_need_a_criterion_that_keeps_nothing_of_one(tmp_path: Path) -> None:
    teachers = {"audio": Net("audio", seed=1), "visual": Net("visual", seed=2)}
    losses: dict[str, DistillationLoss] = {"kd": KDLoss(), "mfh": MFHLoss()}
    criteria: list[DistillationLoss] = [MFHLoss(), CompositeLoss(losses), ShuffledPairs(MFHLoss())]
    for criterion in criteria:
        with pytest.raises(ValueError, match=r"teachers has 2 entries.*give one teacher"):
            distillation(criterion, teachers=dict(teachers))
    distillation(CompositeLoss({"kd": KDLoss()}), teachers=teachers)


def test_a_warm_up_that_outlasts_training_brings_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="DKDLoss reaches its full weight in epoch 3"):
        trainer(tmp_path).fit(distillation(DKDLoss(warmup=3)), datamodule=Pairs(batch_size=24))


def test_the_first_step_of_both_is_that_of_the_formula(tmp_path: Path) -> None:
    student, teacher, batch = Net("visual"), Net("audio", seed=1), whole_split()
    expected = copy.deepcopy(student), copy.deepcopy(teacher)
    logits = [net(batch[m]).logits for net, m in zip(expected, ("visual", "audio"), strict=True)]
    loss = F.cross_entropy(logits[0], batch["label"]) + (logits[0] - logits[1]).square().mean()
    loss.backward()
    module = distillation(
        Mutual(),
        student=student,
        teachers={"audio": teacher},
        train_teachers=True,
        optimizer=sgd(lr=0.1),
    )
    found = first_step(tmp_path, module)
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for net, own in zip(expected, (student, teacher), strict=True):
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(
                own.get_parameter(name).detach(), (parameter - 0.1 * parameter.grad).detach()
            )


def test_a_trained_teacher_is_measured_in_eval_mode_before_it_learns(tmp_path: Path) -> None:
    class Normal(Knowing):
        """Dropout of everything: in train mode it knows nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(CLASSES), nn.Dropout(1.0)

        def forward(self, x: Tensor) -> Output:
            output = super().forward(x)
            return output._replace(logits=self.drop(self.norm(output.logits)))

    record, after, teacher = Record(), AfterCheck(), Normal()
    before = {f"audio.{name}": value for name, value in values(teacher).items()}
    module = distillation(
        Mutual(), teachers={"audio": teacher}, train_teachers=True, teacher_check_batches=50
    )
    fit = trainer(tmp_path, after, logger=record, log_every_n_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TeacherWarning)
        fit.fit(module, datamodule=Pairs(batch_size=4))
    assert record.values["teacher/audio/accuracy"] == [1.0]
    assert equal(after.values, before)
    assert after.modes == {True}
    assert teacher.norm.num_batches_tracked == 6


def trained_run(
    tmp_path: Path, *callbacks: Callback, seed: int = 0, ckpt: Path | None = None
) -> DistillationModule:
    """Four epochs of a student and its teacher; a resumed run starts from other weights."""
    torch.manual_seed(seed)
    module = distillation(
        CompositeLoss({"mutual": Mutual(), "fdkd": fdkd()}),
        student=Net("visual", dropout=0.5, seed=0 if ckpt is None else 5),
        teachers={"audio": Normed("audio")},
        train_teachers=True,
        teacher_check_batches=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        fit = trainer(tmp_path, *callbacks, epochs=4)
        fit.fit(module, datamodule=Pairs(batch_size=4), ckpt_path=ckpt)
    return module


def test_a_run_with_trained_teachers_resumes_bitwise(tmp_path: Path) -> None:
    whole = trained_run(tmp_path, ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1))
    for epoch in (0, 2):
        stored = tmp_path / f"epoch={epoch}.ckpt"
        state = torch.load(stored, weights_only=True)["state_dict"]
        assert "teachers.audio.norm.running_mean" in state
        assert equal(values(trained_run(tmp_path, seed=1, ckpt=stored)), values(whole))
        weight = whole.teachers["audio"].head.weight
        assert not torch.equal(state["teachers.audio.head.weight"], weight)


def test_a_trained_teacher_is_evaluated_no_more_than_a_frozen_one(tmp_path: Path) -> None:
    teacher, data = Knowing(), Pairs(batch_size=4)

    class Features(DistillationLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            return {"mutual": F.mse_loss(student.features, require_teacher(self, teacher).features)}

    module = distillation(Features(), teachers={"audio": teacher}, train_teachers=True)
    trainer(tmp_path, epochs=2).fit(module, datamodule=data)
    assert teacher.calls == 1 + 2 * 6  # the probe and the training batches
    teacher.may_be_called = False
    trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    trainer(tmp_path).test(module, datamodule=data, verbose=False)
    trainer(tmp_path).predict(module, datamodule=data)


def test_a_checkpoint_with_trained_teachers_is_tested_without_their_file(tmp_path: Path) -> None:
    source, file = Net("audio", seed=5), tmp_path / "teacher.pt"
    torch.save(source.state_dict(), file)
    modules = [
        distillation(
            Mutual(),
            student=Net("visual", seed=seed),
            teachers={"audio": PretrainedModel(Net("audio", seed=6), file)},
            train_teachers=True,
            optimizer=sgd(lr=0.0 if seed else 0.1),
        )
        for seed in (0, 1)
    ]
    fit = trainer(tmp_path)
    fit.fit(modules[0], datamodule=Pairs(batch_size=4))
    fit.save_checkpoint(tmp_path / "fit.ckpt")
    file.unlink()
    trainer(tmp_path).test(
        modules[1], datamodule=Pairs(), ckpt_path=tmp_path / "fit.ckpt", verbose=False
    )
    assert equal(values(modules[1]), values(modules[0]))


def test_trained_teachers_begin_with_their_files_weights(tmp_path: Path) -> None:
    source, file = Net("audio", seed=5), tmp_path / "teacher.pt"
    torch.save(source.state_dict(), file)
    teacher = PretrainedModel(Net("audio", seed=6), file)
    module = distillation(
        Mutual(), teachers={"audio": teacher}, train_teachers=True, optimizer=sgd(lr=0.0)
    )
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    assert equal(values(teacher.model), values(source))


class PretrainedLike(nn.Module):
    """Has its network below ``model``, as a ``PretrainedModel`` does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Output:
        output: Output = self.model(x)
        return output


def test_a_student_of_a_trained_teacher_can_teach(tmp_path: Path) -> None:
    """Its checkpoint holds both networks; the student's is the one that is taken."""
    module = distillation(
        Mutual(), teachers={"audio": PretrainedLike(Net("audio", seed=1))}, train_teachers=True
    )
    fit = trainer(tmp_path)
    fit.fit(module, datamodule=Pairs(batch_size=4))
    fit.save_checkpoint(tmp_path / "fit.ckpt")
    student = PretrainedModel(Net("visual", seed=9), tmp_path / "fit.ckpt")
    student.load()
    assert equal(values(student.model), values(module.model))


def test_a_trained_teacher_that_shares_weights_with_the_student_is_an_error() -> None:
    student, teacher = Net("audio"), Net("text")
    teacher.head = student.head
    with pytest.raises(ValueError, match=r"teachers\['text'\] shares weights with the student"):
        distillation(Mutual(), student=student, teachers={"text": teacher}, train_teachers=True)


def test_several_teachers_are_trained_together(tmp_path: Path) -> None:
    networks = {"audio": Net("audio", seed=1), "text": Net("text", seed=2)}
    before = {name: values(net) for name, net in networks.items()}
    module = distillation(Mutual(), teachers=dict(networks), train_teachers=True)
    trainer(tmp_path).fit(module, datamodule=Pairs(batch_size=4))
    for modality, net in networks.items():
        assert all(not torch.equal(x, before[modality][name]) for name, x in values(net).items())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_teachers_are_trained_in_bfloat16(tmp_path: Path, precision: Any) -> None:
    teacher = Normed("audio")
    module = distillation(
        Mutual(), teachers={"audio": teacher}, train_teachers=True, teacher_check_batches=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        fit = trainer(tmp_path, precision=precision)
        fit.fit(module, datamodule=Pairs(batch_size=4))
    dtype = torch.bfloat16 if precision == "bf16-true" else torch.float32
    assert {p.dtype for p in teacher.parameters()} == {dtype}
    assert all(p.isfinite().all() for p in teacher.parameters())
    assert torch.tensor(list(logged(fit).values())).isfinite().all()


# What is built when a checkpoint is loaded.


class Mapped(Net):
    """Returns the map of a stage: the features as channels of a 2x1 image."""

    def forward(self, x: Tensor) -> Output:
        output = super().forward(x)
        return output._replace(maps=(output.features.view(len(x), -1, 2, 1),))


class Lazy(DistillationLoss):
    """With ordinary parts that have the sizes of both models' maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv: nn.Module | None = None
        self.norm: nn.Module | None = None
        self.built: list[tuple[Output, Output | None]] = []

    def build(self, student: Output, teacher: Output | None) -> None:
        self.built.append((student, teacher))
        if self.conv is None:
            channels = student.maps[0].shape[1], require_teacher(self, teacher).maps[0].shape[1]
            self.conv, self.norm = nn.Conv2d(*channels, 1), nn.BatchNorm2d(channels[1])

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        assert self.conv is not None
        assert self.norm is not None
        mapped = self.norm(self.conv(student.maps[0]))
        return {"map": F.mse_loss(mapped, require_teacher(self, teacher).maps[0])}


def lazy(seed: int = 0, **settings: Any) -> DistillationModule:
    """Everything of it is left to a probe: projector, classifiers and a loss's own parts."""
    teacher = Mapped("audio", width=12, seed=1)
    settings = {"teachers": {"audio": teacher}, "projector": Projector()} | settings
    criterion = CompositeLoss({"fdkd": fdkd(), "lazy": Lazy()})
    return distillation(criterion, student=Mapped("visual", seed=seed), **settings)


def fitted(tmp_path: Path, module: DistillationModule) -> Path:
    torch.manual_seed(0)
    fit = trainer(tmp_path)
    fit.fit(module, datamodule=Pairs(batch_size=4))
    fit.save_checkpoint(tmp_path / "fit.ckpt")
    return tmp_path / "fit.ckpt"


def visual_alone() -> Pairs:
    """Data from which no teacher could be probed."""
    data, whole = Pairs(batch_size=4), Samples(8, 1, lambda i: True)
    kept = ("visual", "label", "index")
    data.make_dataset = lambda split: [  # type: ignore[method-assign,assignment,return-value]
        {name: whole[i][name] for name in kept} for i in range(8)
    ]
    return data


def test_a_checkpoint_holds_the_shapes_that_its_parts_were_sized_by(tmp_path: Path) -> None:
    stored = torch.load(fitted(tmp_path, lazy()), weights_only=True)
    assert stored["probed_shapes"] == {
        "student": {"features": [2, WIDTH], "logits": [2, CLASSES], "maps": [[2, 4, 2, 1]]},
        "teachers": {
            "audio": {"features": [2, 12], "logits": [2, CLASSES], "maps": [[2, 6, 2, 1]]}
        },
    }
    stored = torch.load(fitted(tmp_path, distillation(teachers={})), weights_only=True)
    assert stored["probed_shapes"] == {
        "student": {"features": [2, WIDTH], "logits": [2, CLASSES], "maps": []},
        "teachers": {},
    }


@pytest.mark.parametrize("stage", ["test", "validate", "predict"])
def test_a_checkpoint_is_evaluated_with_its_parts_built_and_nothing_probed(
    tmp_path: Path, stage: str
) -> None:
    module = lazy()
    stored = fitted(tmp_path, module)
    teacher = Knowing()
    teacher.may_be_called = False
    fresh = lazy(seed=3, teachers={"audio": teacher})
    run = trainer(tmp_path)
    options = {} if stage == "predict" else {"verbose": False}
    getattr(run, stage)(fresh, datamodule=visual_alone(), ckpt_path=stored, **options)
    assert equal(values(fresh), values(module))
    assert isinstance(fresh.criterion, CompositeLoss)
    inner = fresh.criterion.losses["lazy"]
    assert isinstance(inner, Lazy)
    assert isinstance(inner.conv, nn.Conv2d)
    ((student, other),) = inner.built
    # The criterion meets the student's features as they are projected.
    assert student.features.shape == (2, 12)
    assert [tuple(stage.shape) for stage in student.maps] == [(2, 4, 2, 1)]
    assert other is not None
    assert other.features.shape == (2, 12)
    assert [tuple(stage.shape) for stage in other.maps] == [(2, 6, 2, 1)]


def test_a_teacher_free_checkpoint_is_tested_with_its_classifiers(tmp_path: Path) -> None:
    module = distillation(teachers={}, projector=Projector())
    stored = fitted(tmp_path, module)
    fresh = distillation(student=Net("visual", seed=3), teachers={}, projector=Projector())
    trainer(tmp_path).test(fresh, datamodule=visual_alone(), ckpt_path=stored, verbose=False)
    assert equal(values(fresh), values(module))
    x = torch.randn(4, SIZES["visual"])
    for name, logits in module.heads(module(x)).items():
        assert torch.equal(fresh.heads(fresh(x))[name], logits)


def test_a_module_is_made_from_a_checkpoint(tmp_path: Path) -> None:
    module = lazy()
    stored, fresh = fitted(tmp_path, module), lazy(seed=3)
    loaded = DistillationModule.load_from_checkpoint(
        stored,
        student=fresh.model,
        teachers={"audio": Mapped("audio", width=12, seed=1)},
        criterion=fresh.criterion,
        student_modality="visual",
        projector=fresh.distiller.projector,
    )
    assert equal(values(loaded), values(module))
    batch = whole_split()
    terms = [
        each.distiller(
            [Pair(each.eval()(batch["visual"]), each.teachers(batch)["audio"], batch["label"])]
        )
        for each in (module, loaded)
    ]
    assert terms[0] == terms[1]


def test_a_tested_checkpoint_may_be_trained_on(tmp_path: Path) -> None:
    module, start = lazy(), AtStart()
    stored, fresh = fitted(tmp_path, module), lazy(seed=3)
    trainer(tmp_path).test(fresh, datamodule=Pairs(), ckpt_path=stored, verbose=False)
    trainer(tmp_path, start).fit(fresh, datamodule=Pairs(batch_size=4))
    assert equal(start.values, values(module))
    learned = {name for name, p in fresh.named_parameters() if p.requires_grad}
    assert all(not torch.equal(values(fresh)[name], start.values[name]) for name in learned)


def test_a_checkpoint_of_a_module_that_was_never_fit_has_no_parts(tmp_path: Path) -> None:
    module, fresh = lazy(), lazy(seed=3)
    run = trainer(tmp_path)
    run.validate(module, datamodule=Pairs(), verbose=False)
    run.save_checkpoint(tmp_path / "bare.ckpt")
    assert torch.load(tmp_path / "bare.ckpt", weights_only=True)["probed_shapes"] is None
    trainer(tmp_path).test(
        fresh, datamodule=Pairs(), ckpt_path=tmp_path / "bare.ckpt", verbose=False
    )
    assert equal(values(fresh), values(module))


def test_a_resumed_run_builds_its_parts_once(tmp_path: Path) -> None:
    module = lazy()
    stored, fresh, start = fitted(tmp_path, module), lazy(seed=3), AtStart()
    fit = trainer(tmp_path, start, epochs=2)
    fit.fit(fresh, datamodule=Pairs(batch_size=4), ckpt_path=stored)
    assert equal(start.values, values(module))
    assert isinstance(fresh.criterion, CompositeLoss)
    inner = fresh.criterion.losses["lazy"]
    assert isinstance(inner, Lazy)
    assert len(inner.built) == 1


# Values that the criterion logs.


def test_logged_values_are_no_part_of_the_loss(
    tmp_path: Path,
) -> None:
    module = distillation(FDKDLoss(LearnableFrequencyDecoupler(threshold=0.25)))
    found = first_step(tmp_path, module)
    assert set(found) == {"loss", "task", "low", "high", "cutoff", "threshold"}
    assert found["threshold"] == pytest.approx(0.25, rel=1e-5)
    terms = [found[name] for name in ("task", "low", "high", "cutoff")]
    assert found["loss"] == pytest.approx(sum(terms), rel=1e-5)


class Counting(FeatureLoss):
    """Logs the number of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        self.steps += 1
        return super().forward(student, teacher, target)

    def logged_values(self) -> dict[str, Tensor]:
        return {"steps": torch.tensor(float(self.steps), requires_grad=True)}


def test_logged_values_are_averaged_over_an_epoch_under_the_losss_name(tmp_path: Path) -> None:
    losses, record = Losses(), Record()
    module = distillation(CompositeLoss({"count": Counting(), "kd": KDLoss()}, {"count": 0.0}))
    fit = trainer(tmp_path, losses, epochs=2, logger=record)
    fit.fit(module, datamodule=Pairs(batch_size=8))
    # Steps 1 to 3, then 4 to 6.
    assert [epoch["count/steps"] for epoch in losses.epochs] == [2, 5]
    assert record.values["train/count/steps"] == [2, 5]


# Samples that lack a modality.


class Gradients(Callback):
    """Those of the last step, before the optimizer takes it, and its terms."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.found = {
            name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None
        }


def one_step(
    tmp_path: Path, module: DistillationModule, data: Partial
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Terms and gradients of the whole training split."""
    gradients = Gradients()
    torch.manual_seed(0)
    fit = trainer(tmp_path, gradients)
    fit.fit(module, datamodule=data)
    assert all(x.isfinite().all() for x in values(module).values())
    return logged(fit), gradients.found


def lacking(**settings: Any) -> DistillationModule:
    """With a projector, and classifiers in the criterion."""
    teachers = {"audio": Net("audio", width=12, seed=1)}
    return distillation(**({"teachers": teachers, "projector": Projector()} | settings))


def test_a_mask_of_present_modalities_changes_nothing_bitwise(tmp_path: Path) -> None:
    found = []
    for have in ({}, {"audio": lambda i: True, "visual": lambda i: True}):
        torch.manual_seed(0)
        module, fit = lacking(), trainer(tmp_path, gradients := Gradients(), epochs=2)
        fit.fit(module, datamodule=partial_pairs(8, **have))
        found.append((values(module), gradients.found, logged(fit)))
    (weights, gradients_, terms), (own, own_gradients, own_terms) = found
    assert equal(own, weights)
    assert equal(own_gradients, gradients_)
    assert own_terms == terms


def test_a_teacher_teaches_with_the_samples_that_have_its_modality(tmp_path: Path) -> None:
    module, batch = lacking(), whole_split()
    terms, gradients = one_step(tmp_path, module, partial_pairs(24, audio=lambda i: i % 3 > 0))
    fresh, rows = lacking(), batch["label"] > 0  # i % 3 > 0: classes 1 and 2
    torch.manual_seed(0)
    student, teacher = fresh(batch["visual"]), fresh.teachers["audio"](batch["audio"][rows])
    part = Output(student.features[rows], student.logits[rows])
    fresh.distiller.build(part, {"audio": teacher})
    expected = fresh.distiller([Pair(part, teacher, batch["label"][rows])])
    # The task is of all samples.
    expected["task"] = F.cross_entropy(student.logits, batch["label"])
    loss = torch.stack(list(expected.values())).sum()
    loss.backward()
    del terms["loss"]
    assert terms == {name: pytest.approx(term.item(), rel=1e-4) for name, term in expected.items()}
    assert gradients.keys() == dict(fresh.named_parameters()).keys()
    for name, p in fresh.named_parameters():
        torch.testing.assert_close(gradients[name], p.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_without_samples_to_teach_with_the_task_alone_is_learnt(tmp_path: Path, count: int) -> None:
    module = lacking()
    terms, gradients = one_step(tmp_path, module, partial_pairs(24, audio=lambda i: i < count))
    assert terms == {"task": terms["loss"], "loss": terms["task"]}
    batch, student = whole_split(), Net("visual")
    F.cross_entropy(student(batch["visual"]).logits, batch["label"]).backward()
    assert gradients.keys() == dict(module.named_parameters()).keys()
    for name, gradient in gradients.items():
        if name.startswith("model"):
            expected = student.get_parameter(name.removeprefix("model.")).grad
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
        else:
            assert gradient.count_nonzero() == 0


def test_without_a_task_and_without_samples_nothing_is_learnt(tmp_path: Path) -> None:
    module, start = lacking(task_weight=None), AtStart()
    fit = trainer(tmp_path, start)
    fit.fit(module, datamodule=partial_pairs(4, audio=lambda i: False))
    assert equal(values(module), start.values)
    assert logged(fit) == {"loss": 0}


def test_a_teacher_that_has_no_sample_takes_nothing_from_the_other(tmp_path: Path) -> None:
    teachers = {"audio": Net("audio", seed=1), "text": Net("text", seed=2)}
    alone, _ = one_step(
        tmp_path, distillation(teachers={"audio": teachers["audio"]}), partial_pairs(24)
    )
    both, _ = one_step(
        tmp_path, distillation(teachers=teachers), partial_pairs(24, text=lambda i: False)
    )
    expected = {name: term if name == "task" else term / 2 for name, term in alone.items()}
    expected["loss"] = sum(term for name, term in expected.items() if name != "loss")
    assert both == {name: pytest.approx(term, rel=1e-5) for name, term in expected.items()}


def test_each_teacher_has_its_own_samples(tmp_path: Path) -> None:
    seen = {}

    class Seeing(Net):
        def forward(self, x: Tensor) -> Output:
            seen[x.shape[1], self.training] = len(x)
            return super().forward(x)

    module = distillation(
        FeatureLoss(), teachers={"audio": Seeing("audio"), "visual": Seeing("visual", seed=4)}
    )
    have = {"audio": lambda i: i < 5, "visual": lambda i: i < 20, "text": lambda i: False}
    one_step(tmp_path, module, partial_pairs(24, **have))
    # Teachers are in eval mode.
    assert seen == {(SIZES["audio"], False): 5, (SIZES["visual"], False): 20}


def test_a_sample_without_the_students_modality_takes_no_part(tmp_path: Path) -> None:
    class First(Partial):
        """Only the first 16 training samples."""

        def make_dataset(self, split: str) -> Samples:
            samples = super().make_dataset(split)
            samples.classes = samples.classes[: 16 if split == "train" else 8]
            return samples

    def audio(i: int) -> bool:
        return i % 4 > 0

    fewer = First(batch_size=16)
    fewer.have = {"audio": audio}
    terms, gradients = one_step(tmp_path, lacking(), fewer)
    both = partial_pairs(24, visual=lambda i: i < 16, audio=audio)
    own_terms, own_gradients = one_step(tmp_path, lacking(), both)
    assert own_terms == {name: pytest.approx(term, rel=1e-5) for name, term in terms.items()}
    torch.testing.assert_close(own_gradients, gradients, rtol=1e-4, atol=1e-6)


def test_blanks_are_in_no_statistics(tmp_path: Path) -> None:
    class Counted(DistillationLoss):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(WIDTH, momentum=None)

        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            taught = 0 * student.features.sum()
            return {"norm": self.norm(require_teacher(self, teacher).features).sum() + taught}

    criterion, teacher = Counted(), Net("audio", seed=1)
    module = distillation(criterion, teachers={"audio": teacher})
    one_step(tmp_path, module, partial_pairs(24, audio=lambda i: i % 3 == 1))
    batch = whole_split()
    expected = teacher(batch["audio"][1::3]).features.mean(0)
    torch.testing.assert_close(criterion.norm.running_mean, expected)
    before = values(criterion)
    trainer(tmp_path).fit(module, datamodule=partial_pairs(4, audio=lambda i: False))
    assert equal(
        {k: v for k, v in values(criterion).items() if "running" in k},
        {k: v for k, v in before.items() if "running" in k},
    )


def test_a_trained_teacher_learns_from_its_own_samples(tmp_path: Path) -> None:
    teacher = Normed("audio")
    module = distillation(Mutual(), teachers={"audio": teacher}, train_teachers=True)
    one_step(tmp_path, module, partial_pairs(24, audio=lambda i: i > 3))
    batch = whole_split()
    torch.testing.assert_close(teacher.norm.running_mean, batch["audio"][4:].mean(0) / 10)
    tracked = teacher.norm.num_batches_tracked.clone()
    _, gradients = one_step(tmp_path, module, partial_pairs(24, audio=lambda i: i < 1))
    assert torch.equal(teacher.norm.num_batches_tracked, tracked)
    taught = {name: x for name, x in gradients.items() if name.startswith("teachers")}
    assert len(taught) == len([*teacher.parameters()])
    assert not any(x.count_nonzero() for x in taught.values())


def test_missing_gradients_of_teachers_are_an_error_once_they_teach(tmp_path: Path) -> None:
    module = distillation(train_teachers=True)
    fit = trainer(tmp_path)
    fit.fit(module, datamodule=partial_pairs(24, audio=lambda i: False))
    with pytest.raises(ValueError, match="no gradient of FDKDLoss reaches the teachers"):
        trainer(tmp_path).fit(module, datamodule=partial_pairs(24, audio=lambda i: i > 1))


@pytest.mark.parametrize("early", [True, False])
def test_a_teachers_first_output_is_checked_in_any_batch(tmp_path: Path, early: bool) -> None:
    teacher, data = Net("audio"), partial_pairs(12)
    nn.init.constant_(teacher.head.bias, float("nan"))
    data.setup("fit")
    first = next(iter(data.train_dataloader()))["index"].tolist()
    module = distillation(teachers={"audio": teacher})
    data = partial_pairs(12, audio=lambda i: (i in first) == early)
    with pytest.raises(ValueError, match="values of the audio teacher's logits are NaN"):
        trainer(tmp_path).fit(module, datamodule=data)
