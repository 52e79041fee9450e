import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fits import equal, trainer, values
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    LearningRateFinder,
    ModelCheckpoint,
)
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import (
    BoringDataModule,
    BoringModel,
    ManualOptimBoringModel,
)
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam
from torch.utils.data import DataLoader, Dataset, Subset

from fdkd_lightning.decoupler import LearnableFrequencyDecoupler
from fdkd_lightning.losses import (
    CompositeLoss,
    CRDLoss,
    DistillationLoss,
    FDKDLoss,
    FeatureLoss,
    KDLoss,
    SumOverChannels,
    WarmUp,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.models.feature_model import FeatureModel
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teacher_check import TeacherWarning
from fdkd_lightning.training.teacher_weights import LearnedWeights
from fdkd_lightning.types import Batch, Output

CLASSES = 3
LAYERS = {"features": "3:input", "logits": "3"}


class Samples(Dataset[Any]):
    """24 samples of three classes, which image and sound show."""

    def __init__(self, labelled: Callable[[int], bool] = lambda i: True) -> None:
        generator = torch.Generator().manual_seed(0)
        self.label = torch.arange(24) % CLASSES
        shown = 3 * F.one_hot(self.label, CLASSES).float()
        noise = torch.randn(24, 5, generator=generator)
        self.image = torch.cat([shown + noise[:, :3], noise[:, 3:]], 1)
        self.audio = torch.cat([shown, torch.randn(24, 4, generator=generator)], 1)
        self.labelled = labelled

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> Batch:
        label = self.label[i] if self.labelled(i) else torch.tensor(-100)
        return {"image": self.image[i], "audio": self.audio[i], "label": label, "index": i}


def loader(batch_size: int = 4, **settings: Any) -> DataLoader[Any]:
    return DataLoader(Samples(**settings), batch_size)


def network(dropout: float = 0.25) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [nn.Linear(5, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, CLASSES)]
        return nn.Sequential(*layers)


class Teacher(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.body, self.norm = nn.Linear(7, width), nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Output:
        return Output(self.norm(self.body(x)).relu(), 5 * x[:, :CLASSES])


class Own(LightningModule):
    """A LightningModule that does not know of distillation."""

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.net = network(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        loss = cross_entropy(self(batch["image"]), batch["label"])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.01, momentum=0.9)


class ByPart(Own):
    def configure_optimizers(self) -> Any:
        return SGD(self.net.parameters(), lr=0.01, momentum=0.9)


class Scheduled(Own):
    """Constant, in truth, but by a scheduler that counts the groups when it is made."""

    def configure_optimizers(self) -> Any:
        groups = [{"params": self.net[0].parameters()}, {"params": self.net[3].parameters()}]
        optimizer = SGD(groups, lr=0.01, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda epoch: 1.0] * 2)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class InDict(Own):
    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        return {"loss": super().training_step(batch, batch_idx), "more": 1}


class BuiltInSetup(Own):
    def __init__(self) -> None:
        LightningModule.__init__(self)

    def setup(self, stage: str) -> None:
        self.net = network()


class Configured(Own):
    def __init__(self) -> None:
        LightningModule.__init__(self)
        self.net: Any = None

    def configure_model(self) -> None:
        self.net = network() if self.net is None else self.net


class ByHand(Own):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        loss = cross_entropy(self(batch["image"]), batch["label"])
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


FORMS = [Own, ByPart, Scheduled, InDict, BuiltInSetup, Configured, ByHand]


def fdkd() -> DistillationLoss:
    return FDKDLoss(
        LearnableFrequencyDecoupler(), SharedAlignmentHead(), channel_reduction=SumOverChannels()
    )


def with_memory() -> DistillationLoss:
    torch.manual_seed(1)  # of what is remembered at first
    losses = {"fdkd": fdkd(), "crd": CRDLoss(negatives=6, memory_size=24, dim=4), "kd": KDLoss()}
    return CompositeLoss(losses, {"kd": WarmUp(2)})


def callback(criterion: DistillationLoss | None = None, **settings: Any) -> DistillationCallback:
    defaults: dict[str, Any] = {
        "teachers": {"audio": Teacher()},
        "student": Layers("net.3:input", "net.3"),
        "student_input": "image",
    }
    return DistillationCallback(criterion=criterion or fdkd(), **(defaults | settings))


def by_module(
    folder: Path, criterion: DistillationLoss, data: Any, projector: Any = None, **settings: Any
) -> DistillationModule:
    torch.manual_seed(0)
    module = DistillationModule(
        student=FeatureModel(network(), Layers(**LAYERS)),
        teachers={"audio": settings.pop("teacher", None) or Teacher()},
        criterion=criterion,
        student_modality="image",
        projector=projector,
        metrics={},
        teacher_check_batches=0,
        teacher_weights=settings.pop("teacher_weights", None),
    )
    trainer(folder, **settings).fit(module, data)
    return module


def scaled() -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))


@pytest.mark.parametrize("form", FORMS)
def test_it_does_bitwise_what_the_module_does(tmp_path: Path, form: type[Own]) -> None:
    data = loader(labelled=lambda i: i % 4 > 0)
    module = by_module(tmp_path, fdkd(), data, epochs=2)
    torch.manual_seed(0)
    own, added = form(), callback()
    trainer(tmp_path, added, epochs=2).fit(own, data)
    assert isinstance(module.model, FeatureModel)
    assert equal(values(own.net), values(module.model.model))
    assert equal(values(added.distiller), values(module.distiller))
    alone = form()
    torch.manual_seed(0)
    trainer(tmp_path, epochs=2).fit(alone, data)
    assert not equal(values(own.net), values(alone.net))


@pytest.mark.parametrize(
    "settings",
    [
        {"accumulate_grad_batches": 4},
        {"precision": "bf16-mixed"},
        {"precision": "bf16-true"},
        {"precision": "64-true"},
        {"plugins": scaled},
        {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"},
    ],
    ids=["accumulated", "bf16-mixed", "bf16-true", "64-true", "scaled", "clipped"],
)
def test_it_does_bitwise_what_the_module_does_in_every_trainer(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    def fresh() -> dict[str, Any]:
        return {name: x() if callable(x) else x for name, x in settings.items()}

    criteria = with_memory(), with_memory()
    module = by_module(tmp_path, criteria[0], loader(), epochs=2, **fresh())
    torch.manual_seed(0)
    own, added = ByPart(), callback(criteria[1], index="index")
    trainer(tmp_path, added, epochs=2, **fresh()).fit(own, loader())
    assert isinstance(module.model, FeatureModel)
    assert equal(values(own.net), values(module.model.model))
    assert equal(values(added.distiller), values(module.distiller))


def test_a_projector_meets_a_teacher_of_another_width(tmp_path: Path) -> None:
    module = by_module(tmp_path, fdkd(), loader(), Projector(), teacher=Teacher(12))
    torch.manual_seed(0)
    own, added = Own(), callback(teachers={"audio": Teacher(12)}, projector=Projector())
    trainer(tmp_path, added).fit(own, loader())
    assert isinstance(module.model, FeatureModel)
    assert equal(values(own.net), values(module.model.model))
    assert "projector.linear.12.weight" in added.distiller.state_dict()


def hooks(module: nn.Module) -> int:
    found = [*module.modules()]
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in found)


class Fails(Callback):
    """Raises in the hook of this name."""

    def __init__(self, hook: str, error: BaseException) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise error

        setattr(self, hook, fail)


@pytest.mark.parametrize(
    ("form", "hook"),
    [(form, None) for form in FORMS]
    + [
        (form, hook)
        for form in (Configured, ByHand)
        for hook in ("on_fit_start", "on_after_backward", "on_train_epoch_end")
    ],
)
def test_nothing_is_left_in_the_module_after_fit_or_an_exception(
    tmp_path: Path, form: type[Own], hook: str | None
) -> None:
    # What Lightning itself leaves there is in the other.
    own, other, added = form(), form(), callback()
    for module, more in ((own, [added]), (other, [])):
        failing = [] if hook is None else [Fails(hook, RuntimeError("at once"))]
        run = trainer(tmp_path, *more, *failing)
        with (
            contextlib.nullcontext() if hook is None else pytest.raises(RuntimeError, match="once")
        ):
            run.fit(module, loader())
    assert own.__dict__.keys() == other.__dict__.keys()
    assert all(name.startswith("net.") for name in own.state_dict())
    assert [name for name, _ in own.named_children()] in (["net"], [])
    assert not hooks(own)
    assert not hooks(added.teachers["audio"])
    # It goes on as it was, without.
    trainer(tmp_path).fit(own, loader())


def test_an_error_in_setup_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    own = Own()
    with pytest.raises(ValueError, match="no layer of Own"):
        trainer(tmp_path, callback(student=Layers("body"))).fit(own, loader())
    assert "setup" not in own.__dict__
    assert not hooks(own)


def test_the_teacher_stays_as_it_was_and_teaches_in_eval_mode(tmp_path: Path) -> None:
    teacher, own = Teacher(), Own()
    before = values(teacher)
    modes: list[bool] = []
    teacher.norm.register_forward_hook(lambda module, *_: modes.append(module.training))
    teacher.train()
    trainer(tmp_path, callback(teachers={"audio": teacher})).fit(own, loader())
    assert equal(values(teacher), before)
    assert modes
    assert not any(modes)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_a_second_fit_continues_with_the_trained_parts(tmp_path: Path) -> None:
    own, added = Own(), callback()
    trainer(tmp_path, added).fit(own, loader())
    learnt = values(added.distiller)
    starts: list[dict[str, Tensor]] = []

    class Look(Callback):
        def on_train_start(self, *_: Any) -> None:
            starts.append(values(added.distiller))

    trainer(tmp_path, added, Look()).fit(own, loader())
    assert equal(starts[0], learnt)
    assert not equal(values(added.distiller), learnt)


# Checkpoints.


class WithAdam(Own):
    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


class WithTwoGroups(Own):
    def configure_optimizers(self) -> Any:
        last = {"params": self.net[3].parameters(), "lr": 0.02}
        return Adam([{"params": self.net[0].parameters()}, last], lr=0.01)


def stored(folder: Path, own: Own, *callbacks: Callback, epochs: int = 1) -> Path:
    save = ModelCheckpoint(folder, filename="stored", save_on_train_epoch_end=True)
    trainer(folder, *callbacks, save, epochs=epochs).fit(own, loader())
    return folder / "stored.ckpt"


def test_the_modules_checkpoint_remains_its_own(tmp_path: Path) -> None:
    own = WithAdam()
    with_it = torch.load(stored(tmp_path / "a", own, callback()), weights_only=True)
    without = torch.load(stored(tmp_path / "b", WithAdam()), weights_only=True)
    assert with_it["state_dict"].keys() == without["state_dict"].keys()
    (state,), (expected,) = with_it["optimizer_states"], without["optimizer_states"]
    assert state["state"].keys() == expected["state"].keys()
    assert state["param_groups"] == expected["param_groups"]
    loaded = WithAdam.load_from_checkpoint(tmp_path / "a" / "stored.ckpt")
    assert equal(values(loaded), values(own))


@pytest.mark.parametrize("form", [Own, WithAdam, WithTwoGroups])
def test_a_resumed_run_ends_with_the_same_weights_bitwise(tmp_path: Path, form: type[Own]) -> None:
    def added() -> DistillationCallback:
        return callback(CompositeLoss({"fdkd": fdkd(), "kd": KDLoss()}, {"kd": WarmUp(2)}))

    whole = form(dropout=0.0)
    torch.manual_seed(0)
    trainer(tmp_path, added(), epochs=3).fit(whole, loader())
    torch.manual_seed(0)
    half = stored(tmp_path, form(dropout=0.0), added())
    own = form(dropout=0.0)
    torch.manual_seed(5)  # what is drawn anew must not count
    again = added()
    trainer(tmp_path, again, epochs=3).fit(own, loader(), ckpt_path=half)
    assert equal(values(own), values(whole))


def test_a_checkpoint_is_resumed_without_the_callback_and_one_without_it_is_resumed_with_it(
    tmp_path: Path,
) -> None:
    with_it = stored(tmp_path / "a", WithAdam(dropout=0.0), callback())
    without = stored(tmp_path / "b", WithAdam(dropout=0.0))
    starts: list[dict[str, Tensor]] = []

    class Look(Callback):
        def on_train_start(self, run: Trainer, own: LightningModule) -> None:
            (optimizer,) = run.optimizers
            steps = {float(state["step"]) for state in optimizer.state.values()}
            starts.append(values(own))
            assert steps == {6.0}

    for path, more in ((with_it, []), (without, [callback()])):
        own = WithAdam(dropout=0.0)
        trainer(tmp_path, Look(), *more, epochs=2).fit(own, loader(), ckpt_path=path)
        assert equal(starts[-1], torch.load(path, weights_only=True)["state_dict"])
        assert not equal(values(own), starts[-1])
    assert all(name.startswith("net.") for name in starts[-1])


# Several ranks.


class InOrder(LightningDataModule):
    """Batches of all ranks together hold the samples in order, whereas Lightning shuffles."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> Any:
        assert self.trainer is not None
        data = Samples(labelled=lambda i: i % 3 > 0)
        part = range(self.trainer.global_rank, len(data), self.trainer.world_size)
        return DataLoader(Subset(data, part), self.batch_size)


def fit_on_two(rank: int, folder: Path) -> None:
    fit_on(2, folder)


def fit_on(ranks: int, folder: Path) -> None:
    """Two fits of the same module, the second from the first's checkpoint, and one without it."""
    strategy = "ddp" if ranks > 1 else "auto"
    devices = {"devices": ranks, "strategy": strategy, "use_distributed_sampler": False}
    results = []
    for form in (ByPart, ByHand):
        torch.manual_seed(0)
        own, added = form(), callback(projector=Projector(), teachers={"audio": Teacher(12)})
        own.net[2].p = 0.0
        data = InOrder(8 // ranks)
        save = ModelCheckpoint(folder, filename=f"{ranks}-{form.__name__}")
        first = trainer(folder, added, save, epochs=2, precision="64-true", **devices)
        first.fit(own, data)
        results.append((values(own), values(added.distiller)))
        again = trainer(folder, added, epochs=3, precision="64-true", **devices)
        again.fit(own, data, ckpt_path=save.best_model_path)
        trainer(folder, precision="64-true", **devices).fit(own, data)
        results.append((values(own), values(added.distiller)))
    if first.is_global_zero:
        torch.save(results, folder / f"{ranks}.pt")


@pytest.fixture(scope="module")
def two_ranks(on_two_ranks: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both fits on two ranks wrote what they found: to start the ranks takes longest."""
    folder = tmp_path_factory.mktemp("two_ranks")
    on_two_ranks(folder, fit_on_two, fit_torchgeo_on_two)
    return folder


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_from_the_whole_batch(two_ranks: Path) -> None:
    fit_on(1, two_ranks)
    one, two = (torch.load(two_ranks / f"{n}.pt", weights_only=True) for n in (1, 2))
    assert len(one) == 4
    torch.testing.assert_close(two, one, rtol=0, atol=1e-9)


# Modules of other packages.


def test_a_demo_module_of_lightning_is_taught(tmp_path: Path) -> None:
    """Its batch is the input itself, and it has no labels; its layer is its classifier."""
    teacher = BoringTeacher()
    losses = []
    for weight in (0.0, 5.0):
        own = BoringModel()
        own.load_state_dict(boring_start())
        added = DistillationCallback(
            teachers={"other": teacher},
            criterion=KDLoss(weight=weight),
            target=None,
            task_loss=nn.CrossEntropyLoss(),
            teacher_inputs={"other": lambda batch: batch},
        )
        torch.manual_seed(0)
        # By itself it diverges.
        run = trainer(tmp_path, added, epochs=1, limit_val_batches=1, gradient_clip_val=0.5)
        run.fit(own, BoringDataModule())
        run.test(own, BoringDataModule(), verbose=False)
        with torch.no_grad():
            x = torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
            pair = Output(x, own(x)), teacher(x)
        losses.append(float(KDLoss()(*pair, torch.full((16,), -100))["kd"]))
    # What it is taught, it knows better.
    assert losses[1] < losses[0]


class BoringTeacher(nn.Module):
    def forward(self, x: Tensor) -> Output:
        return Output(x, x[:, :2])


def boring_start() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"layer.weight": (2, 32), "layer.bias": (2,)}
    return {name: 0.1 * torch.randn(*size, generator=generator) for name, size in shapes.items()}


def test_a_demo_module_with_manual_optimization_is_taught(tmp_path: Path) -> None:
    weights = []
    for form in (BoringModel, ManualOptimBoringModel):
        own = form()
        own.load_state_dict(boring_start())
        added = DistillationCallback(
            teachers={"other": BoringTeacher()},
            criterion=KDLoss(),
            target=None,
            task_loss=nn.CrossEntropyLoss(),
            teacher_inputs={"other": lambda batch: batch},
        )
        torch.manual_seed(0)
        run = trainer(tmp_path, added, epochs=1, limit_train_batches=8, limit_val_batches=0)
        run.fit(own, BoringDataModule())
        weights.append(values(own))
    # By hand or by Lightning, with the same optimizer, it is the same.
    assert equal(*weights)


class Squares(Dataset[Any]):
    """The same samples with images of 32 x 32."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> Batch:
        sample = Samples()[i]
        image = F.interpolate(sample["image"].view(1, 1, 1, 5), (32, 32))[0]
        return {**sample, "image": image}


def fit_torchgeo_on_two(rank: int, folder: Path) -> None:
    """A module of torchgeo is trained with the callback, resumed with it, and resumed without."""
    from torchgeo.trainers import ClassificationTask

    def task() -> Any:
        torch.manual_seed(2)
        return ClassificationTask("test_vit2", in_channels=1, num_classes=CLASSES)

    def run(epochs: int, *callbacks: Callback) -> Trainer:
        return trainer(folder, *callbacks, epochs=epochs, devices=2, strategy="ddp")

    def added() -> DistillationCallback:
        return callback(student=Layers(), projector=Projector())

    data = DataLoader(Squares(), 6)
    names = set(task().state_dict())
    save = ModelCheckpoint(folder, filename="first")
    own = task()
    torch.manual_seed(0)
    run(1, added(), save).fit(own, data, data)
    torch.manual_seed(0)
    again, whole = task(), task()
    run(2, added()).fit(again, data, data, ckpt_path=folder / "first.ckpt")
    torch.manual_seed(0)
    run(2, added()).fit(whole, data, data)
    fit = run(2)
    fit.fit(own, data, data, ckpt_path=folder / "first.ckpt")
    assert set(own.state_dict()) == names
    if fit.is_global_zero:
        stored = torch.load(folder / "first.ckpt", weights_only=True)["state_dict"]
        torch.save([values(again), values(whole), stored], folder / "torchgeo.pt")


@pytest.mark.slow
def test_a_project_of_another_package_is_taught_on_two_ranks(two_ranks: Path) -> None:
    again, whole, stored = torch.load(two_ranks / "torchgeo.pt", weights_only=True)
    assert set(stored) == set(whole)
    assert not equal(stored, whole)
    torch.testing.assert_close(again, whole)


class TwoOptimizers(ByHand):
    """A second network with an optimizer of its own is trained in the same step, before."""

    def __init__(self, of_net: int = 1) -> None:
        super().__init__()
        self.net[2].p = 0.0
        self.critic = nn.Linear(CLASSES, 1)
        self.of_net = of_net

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        net, critic = optimizers[self.of_net], optimizers[1 - self.of_net]
        self.toggle_optimizer(critic)
        with torch.no_grad():
            scores = self(batch["image"])
        critic.zero_grad()
        self.manual_backward(self.critic(scores).square().mean())
        critic.step()
        self.untoggle_optimizer(critic)
        net.zero_grad()
        self.manual_backward(cross_entropy(self(batch["image"]), batch["label"]))
        net.step()

    def configure_optimizers(self) -> Any:
        both = [SGD(self.critic.parameters(), lr=0.1)]
        both.insert(self.of_net, SGD(self.net.parameters(), lr=0.01, momentum=0.9))
        return both


@pytest.mark.parametrize("of_net", [0, 1])
def test_of_several_optimizers_the_students_trains_the_parts(tmp_path: Path, of_net: int) -> None:
    torch.manual_seed(0)
    alone, one = ByHand(), callback()
    alone.net[2].p = 0.0
    trainer(tmp_path, one).fit(alone, loader())
    own, added = TwoOptimizers(of_net), callback(optimizer=of_net)
    torch.manual_seed(0)
    trainer(tmp_path, added).fit(own, loader())
    assert equal(values(own.net), values(alone.net))
    assert equal(values(added.distiller), values(one.distiller))


@pytest.mark.parametrize("backward", [0, 5])
def test_a_backward_that_cannot_take_the_terms_is_an_error(tmp_path: Path, backward: int) -> None:
    added = callback(optimizer=1, backward=backward)
    with pytest.raises(RuntimeError, match=f"none of the 2 calls .* backward={backward} be None"):
        trainer(tmp_path, added).fit(TwoOptimizers(), loader())


class TwoBackwards(ByHand):
    """What regularises comes after the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net[2].p = 0.0

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        self.manual_backward(cross_entropy(self(batch["image"]), batch["label"]))
        self.manual_backward(0.01 * self(batch["image"]).square().mean())
        optimizer.step()


def test_which_backward_gets_the_terms_does_not_matter(tmp_path: Path) -> None:
    weights = []
    for backward in (None, 0, 1):
        torch.manual_seed(0)
        own = TwoBackwards()
        trainer(tmp_path, callback(backward=backward)).fit(own, loader())
        weights.append(values(own))
    assert equal(weights[0], weights[1])
    torch.testing.assert_close(weights[2], weights[0])


def test_a_compiled_module_is_taught(tmp_path: Path) -> None:
    results = []
    for compiled in (False, True):
        torch._dynamo.reset()
        own, added = Own(dropout=0.0), callback()
        fitted: Any = torch.compile(own, backend="aot_eager") if compiled else own
        # The second fit gets a module that is compiled already.
        for _ in range(2):
            torch.manual_seed(0)
            trainer(tmp_path, added, epochs=1).fit(fitted, loader())
        results.append(values(own) | values(added.distiller))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-6)


def test_validation_and_test_do_not_involve_the_callback(tmp_path: Path) -> None:
    calls: list[str] = []

    class Watched(Own):
        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            calls.append("validation")
            self(batch["image"])

        def test_step(self, batch: Batch, batch_idx: int) -> None:
            calls.append("test")
            self(batch["image"])

    class Counting(Teacher):
        def forward(self, x: Tensor) -> Output:
            calls.append("teacher")
            return super().forward(x)

    added = callback(teachers={"audio": Counting()}, teacher_check_batches=0)
    own = Watched()
    run = trainer(tmp_path, added, epochs=1)
    run.fit(own, loader(), loader())
    # One call probes; the sanity check is of two batches.
    assert calls.count("teacher") == 1 + 6
    assert calls.count("validation") == 2 + 6
    run.validate(own, loader(), verbose=False)
    run.test(own, loader(), verbose=False)
    run.predict(own, DataLoader(Samples().image, 4))
    assert calls.count("teacher") == 7
    assert calls.count("test") == 6


def test_each_term_is_logged(tmp_path: Path) -> None:
    run = trainer(tmp_path, callback())
    run.fit(Own(), loader())
    terms = {"low", "high", "align", "cutoff", "threshold"}
    assert set(run.callback_metrics) == {f"distillation/{name}" for name in terms} | {"train_loss"}


def test_labels_may_be_few_or_none(tmp_path: Path) -> None:
    few = loader(labelled=lambda i: i == 3)
    run = trainer(tmp_path, callback())
    run.fit(Own(), few)
    assert all(value.isfinite() for value in run.callback_metrics.values())
    own = Own()
    trainer(tmp_path, callback(FeatureLoss(), target=None)).fit(own, loader())
    assert all(value.isfinite().all() for value in values(own).values())


def test_several_teachers_are_averaged(tmp_path: Path) -> None:
    other = Teacher()
    nn.init.constant_(other.body.bias, 2.0)
    logged = []
    for teachers in ({"audio": Teacher()}, {"again": other}, {"audio": Teacher(), "again": other}):
        inputs = {"again": "audio"} if "again" in teachers else {}
        added = callback(FeatureLoss(), teachers=teachers, teacher_inputs=inputs)
        run = trainer(tmp_path, added, epochs=1, limit_train_batches=1)
        run.fit(Own(dropout=0.0), loader())
        logged.append(float(run.callback_metrics["distillation/feature"]))
    assert logged[0] != pytest.approx(logged[1], rel=0.01)
    assert logged[2] == pytest.approx((logged[0] + logged[1]) / 2, rel=1e-6)


def test_teachers_are_weighted_as_in_the_module(tmp_path: Path) -> None:
    module = by_module(tmp_path, fdkd(), loader(), teacher_weights=LearnedWeights())
    torch.manual_seed(0)
    own, added = Own(), callback(teacher_weights=LearnedWeights())
    run = trainer(tmp_path, added)
    run.fit(own, loader())
    assert isinstance(module.model, FeatureModel)
    assert equal(values(own.net), values(module.model.model))
    assert equal(values(added.distiller), values(module.distiller))
    assert values(added.distiller)["weights.log_variance.audio"] != 0
    assert {"distillation/weight/audio", "distillation/uncertainty"} <= run.callback_metrics.keys()


def test_without_a_teacher_it_is_the_control(tmp_path: Path) -> None:
    run = trainer(tmp_path, callback(teachers={}))
    run.fit(Own(), loader())
    assert "distillation/align" in run.callback_metrics
    assert "distillation/low" not in run.callback_metrics


class Tuples(Own):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return cross_entropy(self(batch[0]), batch[2])


def test_a_batch_may_be_a_tuple(tmp_path: Path) -> None:
    torch.manual_seed(0)
    expected = Own()
    trainer(tmp_path, callback()).fit(expected, loader())
    torch.manual_seed(0)
    own, data = Tuples(), Samples()
    triples = [(x["image"], x["audio"], x["label"]) for x in (data[i] for i in range(24))]
    added = callback(student_input=0, target=2, teacher_inputs={"audio": 1})
    trainer(tmp_path, added).fit(own, DataLoader(triples, 4))
    assert equal(values(own), values(expected))


def test_a_teacher_near_chance_brings_a_warning(tmp_path: Path) -> None:
    class Ignorant(Teacher):
        def forward(self, x: Tensor) -> Output:
            return super().forward(x)._replace(logits=torch.eye(CLASSES)[:1].expand(len(x), -1))

    added = callback(teachers={"audio": Ignorant()}, teacher_check_batches=3)
    own = Own()
    own.validation_step = lambda batch, batch_idx: None  # type: ignore[method-assign]  # has none
    with pytest.warns(TeacherWarning, match="audio teacher's accuracy is 0.333"):
        trainer(tmp_path, added).fit(own, loader(), loader())


# What a newcomer meets in the first hour.


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"student": Layers("net.4:input", "net.3")},
            ValueError,
            r"features='net.4:input' is no layer of Own, whose 'net' has: 0, .* Do you mean 'net.",
        ),
        ({"student": Layers("fc")}, ValueError, "features='fc' is no layer of Own"),
        (
            {"student": Layers("net.1")},
            ValueError,
            "features='net.1' is no classifier's input: name the layer whose output",
        ),
        (
            {"student_input": "picture"},
            KeyError,
            "student_input='picture': no entry 'picture' in a dict with image, audio",
        ),
        (
            {"target": "labels"},
            KeyError,
            "target='labels': no entry 'labels' .* or set target=None",
        ),
        ({"teachers": {"sound": Teacher()}}, KeyError, r"teacher_inputs\['sound'\]='sound'"),
        ({"student_input": None}, ValueError, "have no size yet: .* such as student_input='image'"),
        (
            {"student_input": None, "criterion": FeatureLoss(), "projector": Projector()},
            ValueError,
            "have no size yet",
        ),
        (
            {"teachers": {"audio": Teacher(12)}},
            ValueError,
            r"student's features have shape \[4, 8\], the teacher's \[4, 12\]: .*Projector\(\)",
        ),
    ],
)
def test_mistakes_are_errors_with_a_remedy(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trainer(tmp_path, callback(**settings)).fit(Own(), loader())


class HasNoForward(Own):
    forward = LightningModule.forward

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        return cross_entropy(self.net(batch["image"]), batch["label"])


class Backwards(ByHand):
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        cross_entropy(self(batch["image"]), batch["label"]).backward()


class Iterating(Own):
    def training_step(self, dataloader_iter: Any) -> Any:  # type: ignore[override]  # a flavour
        return None


class WithAdagrad(Own):
    def configure_optimizers(self) -> Any:
        return Adagrad(self.net.parameters())


class WithNone(Own):
    def configure_optimizers(self) -> None:
        return None


class Skipping(Own):
    """Never runs its network."""

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        return self.net[0].weight.sum()


@pytest.mark.parametrize(
    ("form", "error", "message"),
    [
        (
            HasNoForward,
            ValueError,
            "HasNoForward has no forward that takes student_input: leave it out",
        ),
        (Backwards, RuntimeError, r"none of the 0 calls .* not loss\.backward\(\)"),
        (Iterating, ValueError, r"takes dataloader_iter, .* let it take \(batch, batch_idx\)"),
        (TwoOptimizers, ValueError, "returns 2 optimizers, .* such as optimizer=0"),
        (WithAdagrad, ValueError, r"Adagrad prepares .* give it self.parameters\(\)"),
        (WithNone, ValueError, "configure_optimizers returns no optimizer"),
        (Skipping, RuntimeError, "layer 'net.3' did not run"),
    ],
)
def test_modules_that_cannot_be_taught_are_errors(
    tmp_path: Path, form: type[Own], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trainer(tmp_path, callback()).fit(form(), loader())


def test_labels_that_are_no_classes_are_an_error(tmp_path: Path) -> None:
    class Doubled(Own):
        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            return self(batch["image"]).square().mean()

    data = DataLoader([{**Samples()[i], "label": 3 + i} for i in range(4)], 4)
    with pytest.raises(
        ValueError, match=r"'label' ranges from 3 to 6, but logits .* have num_classes"
    ):
        trainer(tmp_path, callback()).fit(Doubled(), data)


def test_a_teacher_that_shares_weights_is_an_error(tmp_path: Path) -> None:
    own = Own()
    teacher = FeatureModel(own.net, Layers(**LAYERS))
    with pytest.raises(ValueError, match=r"shares weights with the student .*copy\.deepcopy"):
        trainer(tmp_path, callback(teachers={"image": teacher})).fit(own, loader())


def test_measuring_without_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"teacher_check_batches=3 .* leave one of them out"):
        callback(target=None, teacher_check_batches=3)


class Settings(Mapping[str, Any]):
    """A mapping that is no dict, such as Hydra's DictConfig."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries

    def __getitem__(self, key: str) -> Any:
        return self.entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def test_teachers_are_any_mapping_and_checked_where_the_data_allow_it(tmp_path: Path) -> None:
    class Ignorant(Teacher):
        def forward(self, x: Tensor) -> Output:
            return super().forward(x)._replace(logits=torch.eye(CLASSES)[:1].expand(len(x), -1))

    def fit(data: Any, **settings: Any) -> None:
        own = Own()
        own.validation_step = lambda batch, batch_idx: None  # type: ignore[method-assign]
        added = callback(teachers=Settings(audio=Ignorant()), **settings)
        trainer(tmp_path, added).fit(own, loader(), data)

    with pytest.warns(TeacherWarning, match="audio teacher's accuracy is 0.333"):
        fit(loader())
    with warnings.catch_warnings():
        warnings.simplefilter("error", TeacherWarning)
        fit(loader(), teacher_check_batches=0)
        # The labels, or a teacher's input, are missing.
        fit(DataLoader([{"image": torch.zeros(3), "label": 0}], 1))
        fit(DataLoader([{"audio": torch.zeros(3)}], 1))


def test_a_warm_up_that_outlasts_training_brings_a_warning(tmp_path: Path) -> None:
    warm = CompositeLoss({"kd": KDLoss()}, {"kd": WarmUp(5)})
    with pytest.warns(UserWarning, match="CompositeLoss reaches its full weight in epoch 5"):
        trainer(tmp_path, callback(warm), epochs=1).fit(Own(), loader())


def test_a_project_of_the_package_pytorch_lightning_is_taught(tmp_path: Path) -> None:
    """The same code under another name, with classes of its own."""
    import pytorch_lightning

    class Other(pytorch_lightning.LightningModule):
        forward, training_step = Own.forward, Own.training_step
        configure_optimizers = WithAdam.configure_optimizers

        def __init__(self) -> None:
            super().__init__()
            self.net = network(0.0)

    def fit(epochs: int, **settings: Any) -> Any:
        own, added = Other(), callback()
        run = pytorch_lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            callbacks=[added],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        torch.manual_seed(0)
        run.fit(own, loader(), **settings)
        return own, run

    whole, _ = fit(2)
    _, run = fit(1)
    again, _ = fit(2, ckpt_path=run.checkpoint_callback.best_model_path)
    assert equal(values(again), values(whole))
    expected = WithAdam(dropout=0.0)
    torch.manual_seed(0)
    trainer(tmp_path, callback(), epochs=2).fit(expected, loader())
    assert equal(values(whole), values(expected))


CONFIG = """
trainer:
  accelerator: cpu
  max_epochs: 1
  limit_train_batches: 2
  limit_val_batches: 0
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  callbacks:
    - class_path: fdkd_lightning.DistillationCallback
      init_args:
        teachers:
          other:
            class_path: fdkd_lightning.FeatureModel
            init_args:
              model: {class_path: torch.nn.Linear, init_args: {in_features: 32, out_features: 2}}
              layers: {features: ":input"}
        criterion: {class_path: fdkd_lightning.KDLoss, init_args: {weight: 2.0}}
        student: {features: "layer:input"}
        target: null
        task_loss: {class_path: torch.nn.CrossEntropyLoss}
        teacher_inputs: {other: 0}
"""


def test_a_yaml_configures_it_among_the_trainers_callbacks(tmp_path: Path) -> None:
    class Batched(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch[0], batch_idx)

        def train_dataloader(self) -> Any:
            return DataLoader([(torch.ones(32) + i, i) for i in range(4)], 2)

    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    arguments = [f"--config={path}", f"--trainer.default_root_dir={tmp_path}"]
    cli = LightningCLI(Batched, run=False, args=arguments, save_config_callback=None)
    cli.trainer.fit(cli.model)
    assert cli.trainer.callback_metrics["distillation/kd"] > 0


# What other callbacks and tools do in the meantime.


def test_a_learning_rate_finder_leaves_no_trace(tmp_path: Path) -> None:
    class Tuned(Own):
        def __init__(self) -> None:
            super().__init__(dropout=0.0)
            self.lr = 0.01

        def configure_optimizers(self) -> Any:
            return Adam(self.net.parameters(), lr=self.lr)

    weights = []
    for find in (False, True):
        own, added = Tuned(), callback()
        finder = [LearningRateFinder(num_training_steps=8, update_attr=False)] if find else []
        torch.manual_seed(0)
        trainer(tmp_path, added, *finder).fit(own, loader())
        weights.append(values(own) | values(added.distiller))
    assert equal(*weights)


def test_a_checkpoint_that_is_saved_after_fit_goes_on_bitwise(tmp_path: Path) -> None:
    def fit(epochs: int, **settings: Any) -> tuple[WithAdam, Trainer]:
        own, run = WithAdam(dropout=0.0), trainer(tmp_path, callback(), epochs=epochs)
        torch.manual_seed(0)
        run.fit(own, loader(), **settings)
        return own, run

    whole, _ = fit(3)
    _, half = fit(1)
    half.save_checkpoint(tmp_path / "after.ckpt")
    again, _ = fit(3, ckpt_path=tmp_path / "after.ckpt")
    assert equal(values(again), values(whole))


def test_what_runs_without_gradients_after_the_student_does_not_count(tmp_path: Path) -> None:
    class Measuring(Own):
        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            with torch.no_grad():
                self.log("of_zeros", self(torch.zeros_like(batch["image"])).mean())
            return loss

    weights = []
    for form in (Own, Measuring):
        own = form(dropout=0.0)
        torch.manual_seed(0)
        trainer(tmp_path, callback()).fit(own, loader())
        weights.append(values(own))
    assert equal(*weights)


def test_an_epoch_that_teaches_nothing_is_an_error(tmp_path: Path) -> None:
    class Unseen(Own):
        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            with torch.no_grad():
                self(batch["image"])
            return self.net[0].weight.sum()

    with pytest.raises(
        RuntimeError, match=r"in a whole epoch no term in the loss of Unseen came from .*net\.3"
    ):
        trainer(tmp_path, callback()).fit(Unseen(), loader())


class Adversarial(ByHand):
    """The judge steps first, on what the network gives, and its gradients there are erased."""

    def __init__(self, order: int = 1) -> None:
        super().__init__()
        self.net[2].p = 0.0
        self.judge = nn.Linear(CLASSES, 1)
        self.every = order

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        of_net, of_judge = optimizers
        scores = self(batch["image"])
        of_judge.zero_grad()
        self.manual_backward(self.judge(scores.detach()).square().mean())
        of_judge.step()
        if batch_idx % self.every:
            return
        of_net.zero_grad()
        self.manual_backward(cross_entropy(scores, batch["label"]))
        of_net.step()

    def configure_optimizers(self) -> Any:
        return [
            SGD(self.net.parameters(), lr=0.01, momentum=0.9),
            SGD(self.judge.parameters(), lr=0.1),
        ]


def test_the_loss_that_comes_from_the_student_gets_the_terms(tmp_path: Path) -> None:
    weights = []
    for backward in (None, 1):
        own, added = Adversarial(), callback(optimizer=0, backward=backward)
        torch.manual_seed(0)
        trainer(tmp_path, added).fit(own, loader())
        weights.append(values(own.net) | values(added.distiller))
    assert equal(*weights)
    alone = Adversarial()
    torch.manual_seed(0)
    trainer(tmp_path).fit(alone, loader())
    assert not equal(values(alone.net), {k: v for k, v in weights[0].items() if k[0].isdigit()})


def test_steps_of_another_network_alone_are_skipped(tmp_path: Path) -> None:
    own = Adversarial(order=3)
    run = trainer(tmp_path, callback(optimizer=0))
    run.fit(own, loader())
    assert run.callback_metrics["distillation/align"] > 0


def test_a_dict_of_loaders_is_probed(tmp_path: Path) -> None:
    class Both(Own):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch["labelled"], batch_idx)

    added = callback(
        student_input="labelled.image",
        target="labelled.label",
        teacher_inputs={"audio": "labelled.audio"},
    )
    run = trainer(tmp_path, added)
    run.fit(Both(), {"labelled": loader(), "more": loader(2)})
    assert run.callback_metrics["distillation/low"] > 0


def test_a_copy_of_the_module_has_its_own_methods_and_no_teacher(tmp_path: Path) -> None:
    class Unique(Teacher):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError

    copies: list[Own] = []

    class Copying(Callback):
        def on_train_start(self, run: Trainer, own: LightningModule) -> None:
            copies.append(copy.deepcopy(own))  # type: ignore[arg-type]  # it is one

    own = Own()
    trainer(tmp_path, callback(teachers={"audio": Unique()}), Copying()).fit(own, loader())
    assert copies[0].training_step.__self__ is copies[0]  # type: ignore[attr-defined]
    assert torch.equal(copies[0].net[0].weight, network()[0].weight)


def test_layers_that_are_replaced_after_setup_are_read(tmp_path: Path) -> None:
    class Replacing(Callback):
        """As sync_batchnorm=True does."""

        def on_fit_start(self, run: Trainer, own: LightningModule) -> None:
            own.net[3] = copy.deepcopy(own.net[3])  # type: ignore[index, operator]
            own.net[3]._forward_hooks.clear()  # type: ignore[index, union-attr, operator]
            own.net[3]._forward_pre_hooks.clear()  # type: ignore[index, union-attr, operator]

    class Frozen(Own):
        def configure_optimizers(self) -> Any:
            return SGD(self.net[0].parameters(), lr=0.01)

    run = trainer(tmp_path, Replacing(), callback(student=Layers("net.3:input", "net.3")))
    run.fit(Frozen(), loader())
    assert run.callback_metrics["distillation/low"] > 0


def test_another_criterion_than_the_checkpoints_is_an_error(tmp_path: Path) -> None:
    half = stored(tmp_path, WithAdam(), callback())
    with pytest.raises(ValueError, match=r"written with another criterion.* resume with the same"):
        trainer(tmp_path, callback(FeatureLoss())).fit(WithAdam(), loader(), ckpt_path=half)
    # In evaluation it does not matter.
    own, added = WithAdam(), callback(FeatureLoss())
    own.validation_step = lambda batch, batch_idx: None  # type: ignore[method-assign]
    trainer(tmp_path, added).validate(own, loader(), ckpt_path=half, verbose=False)


def test_a_teacher_in_half_precision_stays_so(tmp_path: Path) -> None:
    teacher = Teacher().bfloat16()
    before = values(teacher)
    trainer(tmp_path, callback(teachers={"audio": teacher})).fit(Own(), loader())
    assert equal(values(teacher), before)


def test_a_forward_of_several_arguments_is_probed_with_a_tuple(tmp_path: Path) -> None:
    class Two(Own):
        def forward(self, image: Tensor, audio: Tensor) -> Tensor:  # type: ignore[override]
            return self.net(image + audio[:, :5])

        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            return cross_entropy(self(batch["image"], batch["audio"]), batch["label"])

    with pytest.raises(ValueError, match=r"missing a required argument: 'audio'.*as a tuple"):
        trainer(tmp_path, callback()).fit(Two(), loader())
    both = callback(student_input=lambda batch: (batch["image"], batch["audio"]))
    trainer(tmp_path, both).fit(Two(), loader())


def test_an_error_inside_of_a_forward_is_not_changed(tmp_path: Path) -> None:
    class Wrong(Own):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) + len(3)  # type: ignore[arg-type]  # the mistake

    with pytest.raises(TypeError, match="has no len"):
        trainer(tmp_path, callback()).fit(Wrong(), loader())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"student": "net.fc"}, r"student='net\.fc' must be Layers, such as"),
        ({"teachers": Teacher()}, r"teachers is a Teacher: give a dict, such as \{'audio'"),
    ],
)
def test_arguments_of_another_type_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        callback(**settings)


def test_a_teacher_without_an_output_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"wrap it, FeatureModel\(model\)"):
        trainer(tmp_path, callback(teachers={"audio": nn.Linear(7, 8)})).fit(Own(), loader())
