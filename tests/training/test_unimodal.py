import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fits import equal, trainer
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.lr_scheduler import PolyLR
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Batch, Output

SIZE, CLASSES = 6, 3


class Samples(Dataset[Batch]):
    """Inputs and labels as they are given; ids from 100 on, so that no position passes for one."""

    def __init__(self, x: Tensor, labels: Any, modality: str = "visual") -> None:
        self.x, self.labels, self.modality = x, labels, modality

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Batch:
        return {self.modality: self.x[i], "label": self.labels[i], "index": 100 + i}


def clusters(size: int = 24, seed: int = 0) -> Samples:
    """Classes far apart: any network learns them."""
    labels = torch.arange(size) % CLASSES
    noise = torch.randn(size, SIZE, generator=torch.Generator().manual_seed(seed))
    return Samples(4 * F.one_hot(labels, SIZE) + noise, labels)


class Clusters(MultimodalDataModule):
    class_names = ("a", "b", "c")
    available_modalities = ("visual",)

    def make_dataset(self, split: str) -> Samples:
        return clusters(24 if split == "train" else 9, seed=len(split))


class Net(nn.Module):
    def __init__(self, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body, self.head = nn.Linear(SIZE, 8), nn.Linear(8, CLASSES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Output:
        features = self.dropout(self.body(x).relu())
        return Output(features, self.head(features))


class Spoken(nn.Module):
    """Its input is its output, times a weight of one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Output:
        return Output(x, x * self.scale)


class History(Callback):
    """The learning rate and the logged values of each epoch."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append(values)

    def of(self, name: str) -> list[float]:
        return [epoch[name] for epoch in self.epochs]


def loader(x: Tensor, labels: Any, batch_size: int = 4) -> DataLoader[Batch]:
    return DataLoader(Samples(x, labels), batch_size=batch_size)


def unlabelled(size: int = 8) -> DataLoader[Batch]:
    return loader(clusters(size).x, torch.full((size,), -100))


def sgd(**settings: Any) -> Callable[..., torch.optim.Optimizer]:
    return partial(torch.optim.SGD, **settings)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def test_the_loss_falls_and_the_classes_are_learnt(tmp_path: Path) -> None:
    history = History()
    fit = trainer(tmp_path, history, epochs=10)
    fit.fit(UnimodalModule(Net(), "visual"), datamodule=Clusters(batch_size=4))
    losses = history.of("train/loss")
    assert losses[-1] < losses[0] / 3
    assert history.of("val/loss")[-1] < history.of("val/loss")[0] / 2
    assert history.of("val/accuracy")[-1] == 1


def test_forward_is_the_networks_output() -> None:
    net, x = Net(), torch.randn(2, SIZE)
    assert torch.equal(UnimodalModule(net, "visual")(x).logits, net(x).logits)


def test_it_logs_the_training_loss_and_the_validations_loss_and_metrics(tmp_path: Path) -> None:
    fit = trainer(tmp_path)
    fit.fit(UnimodalModule(Net(), "visual"), datamodule=Clusters(batch_size=4))
    names = {"train/loss", "val/loss", "val/accuracy", "val/macro_f1"}
    assert set(fit.callback_metrics) == names


def test_the_training_loss_is_the_labels_cross_entropy(tmp_path: Path) -> None:
    net, data, history = Net(), clusters(8), History()
    labels = torch.where(torch.arange(8) < 3, data.labels, -100)
    expected = F.cross_entropy(net(data.x[:3]).logits, labels[:3]).item()
    trainer(tmp_path, history).fit(UnimodalModule(net, "visual"), loader(data.x, labels, 8))
    assert history.of("train/loss") == [pytest.approx(expected, rel=1e-5)]


# Right are 3 of the 5 labelled. F1 = 2 TP / (2 TP + FP + FN): 2/4, 2/4 and 2/2.
SAID, MEANT = [0, 0, 1, 2, 2, 1], [0, 1, 1, 2, -100, 0]
ACCURACY, MACRO_F1 = 3 / 5, 2 / 3


def spoken(said: Sequence[int], meant: Sequence[int]) -> DataLoader[Batch]:
    return loader(3.0 * F.one_hot(torch.tensor(said), CLASSES), torch.tensor(meant))


def test_accuracy_and_macro_f1_are_those_of_the_labelled_samples(tmp_path: Path) -> None:
    test = trainer(tmp_path)
    found = test.test(UnimodalModule(Spoken(), "visual"), spoken(SAID, MEANT), verbose=False)[0]
    assert set(found) == {"test/loss", "test/accuracy", "test/macro_f1"}
    assert found["test/accuracy"] == pytest.approx(ACCURACY)
    assert found["test/macro_f1"] == pytest.approx(MACRO_F1)


def test_metrics_start_anew_with_each_evaluation(tmp_path: Path) -> None:
    module, test = UnimodalModule(Spoken(), "visual"), trainer(tmp_path)
    for meant, accuracy in ((MEANT, ACCURACY), (SAID, 1.0), ([1, 1, 2, 0, 0, 2], 0.0)):
        found = test.test(module, spoken(SAID, meant), verbose=False)[0]
        assert found["test/accuracy"] == pytest.approx(accuracy)


def test_the_evaluation_loss_is_the_mean_over_all_labels(tmp_path: Path) -> None:
    # Four labels in the first batch, two in the second, none in the third: each weighs the same.
    said, meant = [0, 0, 1, 2, 2, 1, 0, 0, 1, 2], [0, 1, 1, 2, -100, 0, 2, -100, -100, -100]
    wrong, right = math.log(2 + math.exp(3)), math.log(2 + math.exp(3)) - 3
    expected = (3 * right + 3 * wrong) / 6
    test = trainer(tmp_path)
    found = test.test(UnimodalModule(Spoken(), "visual"), spoken(said, meant), verbose=False)[0]
    assert found["test/loss"] == pytest.approx(expected, rel=1e-5)


def test_given_metrics_replace_the_defaults(tmp_path: Path) -> None:
    metrics = {"top2": MulticlassAccuracy(CLASSES, top_k=2, average="micro", ignore_index=-100)}
    module = UnimodalModule(Spoken(), "visual", metrics=dict(metrics))
    x = torch.tensor([[3.0, 2.0, 1.0]] * 5)
    test = trainer(tmp_path)
    data = loader(x, torch.tensor([0, 1, 2, -100, 1]))
    found = test.test(module, data, verbose=False)[0]
    assert set(found) == {"test/loss", "test/top2"}
    assert found["test/top2"] == pytest.approx(3 / 4)


def test_the_optimizer_gets_the_trainable_parameters_alone(tmp_path: Path) -> None:
    net = Net()
    net.body.requires_grad_(False)
    before = weights(net.body)
    adam = partial(torch.optim.Adam, lr=0.02)
    module, fit = UnimodalModule(net, "visual", optimizer=adam), trainer(tmp_path)
    fit.fit(module, datamodule=Clusters(batch_size=4))
    (optimizer,) = fit.optimizers
    assert isinstance(optimizer, torch.optim.Adam)
    (group,) = optimizer.param_groups
    assert group["lr"] == 0.02
    assert {id(p) for p in group["params"]} == {id(p) for p in net.head.parameters()}
    assert equal(weights(net.body), before)


def test_the_default_optimizer_is_that_of_the_published_code(tmp_path: Path) -> None:
    module, fit = UnimodalModule(Net(), "visual"), trainer(tmp_path)
    fit.fit(module, datamodule=Clusters(batch_size=4))
    (optimizer,) = fit.optimizers
    assert isinstance(optimizer, torch.optim.SGD)
    found = {name: optimizer.defaults[name] for name in ("lr", "momentum", "weight_decay")}
    assert found == {"lr": 0.01, "momentum": 0.9, "weight_decay": 0}


@pytest.mark.parametrize(("own", "length"), [(None, 4), (8, 8)])
def test_poly_lr_takes_the_trainers_epochs_unless_it_has_its_own(
    tmp_path: Path, own: int | None, length: int
) -> None:
    history = History()
    schedule = partial(PolyLR, max_epochs=own, power=1.0, min_lr=0.0)
    module = UnimodalModule(Net(), "visual", optimizer=sgd(lr=0.8), lr_scheduler=schedule)
    trainer(tmp_path, history, epochs=4).fit(module, datamodule=Clusters(batch_size=4))
    expected = [0.8 * (1 - epoch / length) for epoch in range(4)]
    assert history.rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mode", "expected"), [("min", [1e-2] * 4), ("max", [1e-2, 1e-2, 1e-3, 1e-4])]
)
def test_reduce_lr_on_plateau_watches_what_it_monitors(
    tmp_path: Path, mode: Any, expected: list[float]
) -> None:
    # The validation loss falls all the time: progress for "min", none for "max".
    history = History()
    schedule = partial(ReduceLROnPlateau, monitor="val/loss", mode=mode, patience=0, threshold=0.0)
    module = UnimodalModule(Net(), "visual", optimizer=sgd(lr=0.01), lr_scheduler=schedule)
    trainer(tmp_path, history, epochs=4).fit(module, datamodule=Clusters(batch_size=4))
    losses = history.of("val/loss")
    assert losses[0] > losses[1] > losses[2]
    assert history.rates == pytest.approx(expected)


def test_predict_gives_each_sample_its_id_and_probabilities(tmp_path: Path) -> None:
    net, x = Net(), 5 * torch.randn(7, SIZE)
    module = UnimodalModule(net, "visual")
    found = trainer(tmp_path).predict(module, loader(x, torch.zeros(7, dtype=torch.long)))
    assert found is not None
    assert torch.cat([batch["index"] for batch in found]).tolist() == list(range(100, 107))
    probabilities = torch.cat([batch["probabilities"] for batch in found])
    assert probabilities.shape == (7, CLASSES)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(7))
    ratios = probabilities.log().diff(dim=1)
    torch.testing.assert_close(ratios, net(x).logits.diff(dim=1), rtol=1e-4, atol=1e-4)


def test_a_modality_that_the_batch_lacks_is_an_error(tmp_path: Path) -> None:
    module = UnimodalModule(Net(), "audio")
    with pytest.raises(KeyError, match=r"no modality 'audio', only: visual\. Name one .*`modal"):
        trainer(tmp_path).fit(module, datamodule=Clusters())


class WithoutLabel(Samples):
    def __getitem__(self, i: int) -> Batch:
        batch = super().__getitem__(i)
        del batch["label"]
        return batch


X = torch.ones(4, SIZE)
WRONG_LABELS: list[Any] = [
    pytest.param(
        WithoutLabel(X, torch.zeros(4)), KeyError, r"no 'label': add it, with -100 for", id="none"
    ),
    pytest.param(
        Samples(X, torch.zeros(4)),
        TypeError,
        r"'label' is torch.float32: give an int64 tensor",
        id="float",
    ),
    pytest.param(
        Samples(X, torch.tensor([0, 1, -100, 5])),
        ValueError,
        r"'label' ranges from 0 to 5, .* num_classes=3 \(0\.\.2; .*set num_classes",
        id="too large",
    ),
    pytest.param(
        Samples(X, torch.tensor([0, -1, 2, 1])),
        ValueError,
        r"'label' ranges from -1 to 2, .* num_classes=3 .*-100: no label.*set num_classes",
        id="negative",
    ),
]


@pytest.mark.parametrize(("data", "error", "message"), WRONG_LABELS)
def test_wrong_labels_are_an_error_in_training(
    tmp_path: Path, data: Samples, error: type[Exception], message: str
) -> None:
    module = UnimodalModule(Net(), "visual")
    with pytest.raises(error, match=message):
        trainer(tmp_path).fit(module, DataLoader(data, batch_size=4))


@pytest.mark.parametrize(("data", "error", "message"), WRONG_LABELS)
def test_wrong_labels_are_the_same_error_where_validation_comes_first(
    tmp_path: Path, data: Samples, error: type[Exception], message: str
) -> None:
    module, wrong = UnimodalModule(Net(), "visual"), DataLoader(data, batch_size=4)
    with pytest.raises(error, match=message):
        trainer(tmp_path).fit(module, wrong, wrong)


def test_features_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    x = X.clone()
    x[1, 2] = float("nan")
    module = UnimodalModule(Net(), "visual")
    message = r"8 of 32 values of the visual's features are NaN .* check its weights, its input"
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).fit(module, loader(x, torch.zeros(4, dtype=torch.long)))


def test_each_fit_looks_at_its_own_first_batch(tmp_path: Path) -> None:
    module = UnimodalModule(Net(), "visual")
    trainer(tmp_path).fit(module, loader(X, torch.zeros(4, dtype=torch.long)))
    with pytest.raises(ValueError, match="ranges from 3 to 3"):
        trainer(tmp_path).fit(module, loader(X, torch.full((4,), 3)))


def test_an_unlabelled_batch_changes_nothing(tmp_path: Path) -> None:
    module, history = UnimodalModule(Net(), "visual"), History()
    before = weights(module)
    trainer(tmp_path, history).fit(module, unlabelled())
    assert equal(weights(module), before)
    assert history.of("train/loss") == [0.0]


def test_an_unlabelled_batch_leaves_weight_decay(tmp_path: Path) -> None:
    decay = sgd(lr=0.1, weight_decay=0.5)
    module = UnimodalModule(Net(), "visual", optimizer=decay)
    before = weights(module)
    trainer(tmp_path).fit(module, unlabelled())  # two steps
    for name, value in weights(module).items():
        torch.testing.assert_close(value, before[name] * (1 - 0.1 * 0.5) ** 2)


def test_an_unlabelled_batch_leaves_momentum(tmp_path: Path) -> None:
    data = clusters(8)
    labels = torch.where(torch.arange(8) < 4, data.labels, -100)
    seen = []
    for steps in range(3):
        module = UnimodalModule(Net(), "visual", optimizer=sgd(lr=0.1, momentum=0.9))
        trainer(tmp_path, max_steps=steps).fit(module, loader(data.x, labels))
        seen.append(weights(module))
    start, labelled, after = seen
    assert not equal(start, labelled)
    for name in start:
        step = labelled[name] - start[name]
        torch.testing.assert_close(after[name], labelled[name] + 0.9 * step)


def resumable(seed: int) -> UnimodalModule:
    """Dropout, momentum and a schedule: whatever a resumed run must take up again."""
    schedule = partial(PolyLR, min_lr=0.0)
    return UnimodalModule(Net(dropout=0.5, seed=seed), "visual", lr_scheduler=schedule)


def fitted(
    tmp_path: Path,
    *callbacks: Callback,
    seed: int = 0,
    ckpt: Path | None = None,
    workers: int = 0,
    **settings: Any,
) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    module = resumable(seed=0 if ckpt is None else seed)
    data = Clusters(batch_size=4, num_workers=workers)
    trainer(tmp_path, *callbacks, epochs=4, **settings).fit(module, data, ckpt_path=ckpt)
    return weights(module)


def test_runs_differ_by_their_dropout(tmp_path: Path) -> None:
    first = fitted(tmp_path)
    assert equal(fitted(tmp_path), first)
    assert not equal(fitted(tmp_path, seed=1), first)


@pytest.mark.parametrize(
    ("workers", "validation"),
    [
        pytest.param(0, 0.0, id="without validation"),
        pytest.param(0, 1.0, id="with validation"),
        pytest.param(1, 1.0, id="with a worker"),
    ],
)
def test_a_resumed_run_ends_with_the_same_weights_bitwise(
    tmp_path: Path, workers: int, validation: float
) -> None:
    settings: dict[str, Any] = {"workers": workers, "limit_val_batches": validation}
    every = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    whole = fitted(tmp_path, every, **settings)
    for epoch in (0, 2):
        resumed = fitted(tmp_path, seed=1, ckpt=tmp_path / f"epoch={epoch}.ckpt", **settings)
        assert equal(resumed, whole)


def test_a_finished_run_may_be_prolonged(tmp_path: Path) -> None:
    def run(epochs: int, seed: int, ckpt: Path | None = None) -> tuple[Trainer, dict[str, Tensor]]:
        torch.manual_seed(seed)
        module = UnimodalModule(Net(dropout=0.5), "visual")
        fit = trainer(tmp_path, epochs=epochs)
        fit.fit(module, datamodule=Clusters(batch_size=4), ckpt_path=ckpt)
        return fit, weights(module)

    whole = run(4, seed=0)[1]
    run(2, seed=0)[0].save_checkpoint(tmp_path / "two.ckpt")
    assert equal(run(4, seed=1, ckpt=tmp_path / "two.ckpt")[1], whole)


def test_evaluating_a_checkpoint_does_not_seed_a_later_fit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fit, stored = trainer(tmp_path), tmp_path / "one.ckpt"
    fit.fit(resumable(seed=0), datamodule=Clusters(batch_size=4))
    fit.save_checkpoint(stored)
    found = []
    for seed in (0, 1):
        module = resumable(seed=0)
        trainer(tmp_path).test(module, datamodule=Clusters(), ckpt_path=stored, verbose=False)
        torch.manual_seed(seed)
        trainer(tmp_path).fit(module, datamodule=Clusters(batch_size=4))
        found.append(weights(module))
    # Dropout follows the seed that was set last.
    assert not equal(*found)


def test_a_pretrained_network_starts_fit_from_its_file_and_tests_without(tmp_path: Path) -> None:
    source, file = Net(seed=5), tmp_path / "net.pt"
    torch.save(source.state_dict(), file)
    module = UnimodalModule(PretrainedModel(Net(seed=6), file), "visual", optimizer=sgd(lr=0.0))
    trainer(tmp_path).fit(module, datamodule=Clusters(batch_size=4))
    assert equal(weights(module.model.model), weights(source))
    file.unlink()
    trainer(tmp_path).test(module, datamodule=Clusters(), verbose=False)


@pytest.mark.parametrize("epochs", [-1, None])
def test_a_schedule_over_no_number_of_epochs_is_an_error(
    tmp_path: Path, epochs: int | None
) -> None:
    fit = Trainer(
        max_epochs=epochs,
        max_steps=3,
        default_root_dir=tmp_path,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    module = UnimodalModule(Net(), "visual", lr_scheduler=PolyLR)
    with pytest.raises(ValueError, match=r"PolyLR .*set trainer\.max_epochs"):
        fit.fit(module, datamodule=Clusters(batch_size=4))


# Samples that lack the modality.


def lacking(x: Tensor, labels: Any, has: Sequence[bool], batch_size: int = 4) -> DataLoader[Batch]:
    """What stands in the place of a missing modality would spoil all it touched."""
    samples = Samples(torch.where(torch.tensor(has).unsqueeze(1), x, torch.nan), labels)
    present = [samples[i] | {"present": {"visual": has[i]}} for i in range(len(samples))]
    return DataLoader(present, batch_size=batch_size)  # type: ignore[arg-type]  # a list will do


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(SIZE)

    def forward(self, x: Tensor) -> Output:
        return super().forward(self.norm(x))


def test_without_a_missing_sample_training_is_bitwise_the_same(tmp_path: Path) -> None:
    data, trained = clusters(8), []
    for batches in (loader(data.x, data.labels), lacking(data.x, data.labels, [True] * 8)):
        module = UnimodalModule(Normed(), "visual")
        trainer(tmp_path, epochs=2).fit(module, batches)
        trained.append(weights(module))
    assert equal(*trained)


def test_training_leaves_out_samples_that_lack_the_modality(tmp_path: Path) -> None:
    data, has, trained = clusters(8), [i % 4 > 0 for i in range(8)], []
    kept = torch.tensor(has)
    for batches in (
        lacking(data.x, data.labels, has),
        loader(data.x[kept], data.labels[kept], batch_size=3),
    ):
        module, history = UnimodalModule(Normed(), "visual"), History()
        trainer(tmp_path, history).fit(module, batches)
        trained.append((module.state_dict(), history.of("train/loss")))
    (state, loss), (expected, of_kept) = trained
    torch.testing.assert_close(state, expected)
    assert loss == pytest.approx(of_kept)


@pytest.mark.parametrize("left", [0, 1])
def test_a_batch_of_which_nothing_is_left_teaches_nothing(tmp_path: Path, left: int) -> None:
    data, module = clusters(4), UnimodalModule(Normed(), "visual")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    history = History()
    batches = lacking(data.x, data.labels, [i < left for i in range(4)])
    trainer(tmp_path, history).fit(module, batches)
    assert history.of("train/loss") == [0]
    assert equal(module.state_dict(), before)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_samples_that_lack_the_modality_are_not_measured(tmp_path: Path, stage: str) -> None:
    said, meant = torch.tensor([0, 1, *SAID, 2, 2, 2, 2]), torch.tensor([1, 0, *MEANT, 0, 0, 0, 0])
    # The first batch has nothing but missing ones.
    x = torch.cat([torch.zeros(4, CLASSES), 3.0 * F.one_hot(said, CLASSES)])
    labels = torch.cat([torch.zeros(4, dtype=torch.long), meant])
    has = [False] * 6 + [True] * 6 + [False] * 4
    found = []
    for data in (lacking(x, labels, has), spoken(SAID, MEANT)):
        run = trainer(tmp_path)
        getattr(run, stage)(UnimodalModule(Spoken(), "visual"), data, verbose=False)
        found.append({k: float(v) for k, v in run.callback_metrics.items()})
    assert len(found[0]) == 3
    assert found[0] == {name: pytest.approx(value, rel=1e-5) for name, value in found[1].items()}


def test_samples_that_lack_the_modality_are_not_predicted(tmp_path: Path) -> None:
    data, module = clusters(8), UnimodalModule(Net(), "visual")
    batches = lacking(data.x, data.labels, [i in (1, 2) for i in range(8)])
    found = trainer(tmp_path).predict(module, batches)
    assert found is not None
    assert [batch["index"].tolist() for batch in found] == [[101, 102], []]
    torch.testing.assert_close(found[0]["probabilities"], module(data.x[1:3]).logits.softmax(1))
    assert found[1]["probabilities"].shape == (0, CLASSES)
