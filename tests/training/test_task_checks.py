"""Training, evaluation and prediction where there is not one class per sample."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fits import equal, trainer, values
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    BinaryKDLoss,
    CompositeLoss,
    DistillationLoss,
    FDKDLoss,
    FeatureLoss,
    KDLoss,
    MultiLabelTask,
    OneClassTask,
    RegressionKDLoss,
    RegressionTask,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.models.dense_evaluation import DenseEvaluation
from fdkd_lightning.models.feature_model import FeatureModel
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.run.predictions import PredictionTable
from fdkd_lightning.training.task_checks import check_evaluation
from fdkd_lightning.training.teacher_weights import ConfidenceWeights
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

BCE, MSE = nn.BCEWithLogitsLoss, nn.MSELoss
TASKS = pytest.mark.parametrize(("loss", "outputs"), [(BCE, 3), (BCE, 1), (MSE, 1), (MSE, 2)])


def samples(loss: type[nn.Module], outputs: int, size: int = 8) -> list[dict[str, Any]]:
    """Labels that the inputs show, of which some entries and one sample have none."""
    x = torch.randn(size, 4, generator=torch.Generator().manual_seed(0))
    target = x[:, :outputs].clone()
    if loss is BCE:
        target = (target > 0).float()
    target[0] = target[3, 0] = torch.nan
    labels = target[:, 0] if loss is MSE and outputs == 1 else target
    return [{"image": x[i], "audio": 2 * x[i], "label": labels[i], "index": i} for i in range(size)]


def loader(loss: type[nn.Module], outputs: int) -> DataLoader[Any]:
    return DataLoader(samples(loss, outputs), batch_size=4)  # type: ignore[arg-type]


def network(outputs: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))


def model(outputs: int, seed: int = 0) -> FeatureModel:
    return FeatureModel(network(outputs, seed), Layers(features="2:input", logits="2"))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


class Own(LightningModule):
    def __init__(self, loss: type[nn.Module], outputs: int) -> None:
        super().__init__()
        self.net, self.loss = network(outputs), loss

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        outputs, target = self(batch["image"]), batch["label"]
        target = target.reshape(outputs.shape)
        known = ~target.isnan()
        return self.loss()(outputs[known], target[known])  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return sgd(self.parameters())


def criterion(loss: type[nn.Module]) -> DistillationLoss:
    kd = BinaryKDLoss() if loss is BCE else RegressionKDLoss()
    return CompositeLoss({"kd": kd, "fdkd": FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())})


@TASKS
def test_module_and_callback_learn_the_same_of_every_task(
    tmp_path: Path, loss: type[nn.Module], outputs: int
) -> None:
    torch.manual_seed(0)
    module = DistillationModule(
        model(outputs),
        {"audio": model(outputs, 1)},
        criterion(loss),
        "image",
        optimizer=sgd,
        task_loss=loss(),
    )
    fit = trainer(tmp_path, epochs=1)
    fit.fit(module, loader(loss, outputs), loader(loss, outputs))
    logged = {name: float(value) for name, value in fit.callback_metrics.items()}
    names = ("macro_f1", "average_precision") if loss is BCE else ("mae", "rmse")
    assert {*(f"val/{name}" for name in names), "train/kd/kd", "train/fdkd/align"} <= logged.keys()
    assert all(torch.tensor(value).isfinite() for value in logged.values())

    torch.manual_seed(0)
    own = Own(loss, outputs)
    added = DistillationCallback(
        {"audio": model(outputs, 1)},
        criterion(loss),
        Layers("net.2:input", "net.2"),
        student_input="image",
        task_loss=loss(),
    )
    trainer(tmp_path, added, epochs=1).fit(own, loader(loss, outputs))
    found = {name.replace("net.", ""): x for name, x in values(own).items()}
    expected = {
        name.replace("model.model.", ""): x
        for name, x in values(module).items()
        if name.startswith("model.model.")
    }
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-6)


def test_the_validation_values_are_those_of_the_labels(tmp_path: Path) -> None:
    data = samples(MSE, 1)
    module = UnimodalModule(model(1), "image", task_loss=nn.HuberLoss())
    run = trainer(tmp_path, epochs=1)
    (found,) = run.validate(module, DataLoader(data, batch_size=3), verbose=False)  # type: ignore[arg-type]
    known = [x for x in data if not x["label"].isnan()]
    with torch.no_grad():
        predicted = network(1)(torch.stack([x["image"] for x in known]))[:, 0]
    error = predicted - torch.stack([x["label"] for x in known])
    huber = nn.functional.huber_loss(error, torch.zeros_like(error))
    assert found["val/loss"] == pytest.approx(huber.item(), rel=1e-6)
    assert found["val/mae"] == pytest.approx(error.abs().mean().item(), rel=1e-6)
    assert found["val/rmse"] == pytest.approx(error.square().mean().sqrt().item(), rel=1e-6)


def test_outputs_without_an_axis_are_numbers(tmp_path: Path) -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc = nn.Linear(4, 8), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Output:
            features = self.body(x)
            return Output(features, self.fc(features)[:, 0])

    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())
    module = DistillationModule(Flat(), {"audio": Flat()}, criterion, "image", task_loss=MSE())
    run = trainer(tmp_path, epochs=1)
    run.fit(module, loader(MSE, 1), loader(MSE, 1))
    assert run.callback_metrics["val/mae"].isfinite()


@TASKS
def test_the_table_of_predictions_has_the_columns_of_the_task(
    tmp_path: Path, loss: type[nn.Module], outputs: int
) -> None:
    run = trainer(tmp_path, PredictionTable(tmp_path / "p.csv"))
    run.predict(UnimodalModule(model(outputs), "image", task_loss=loss()), loader(loss, outputs))
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    data = samples(loss, outputs)
    with torch.no_grad():
        expected = network(outputs)(torch.stack([x["image"] for x in data]))
    names = [str(k) for k in range(outputs)] if loss is BCE or outputs > 1 else ["value"]
    known = [f"label {name}" for name in names]
    assert list(rows[0]) == ["index", *known, *(["classes"] if loss is BCE else []), *names]
    for row, output, sample in zip(rows, expected, data, strict=True):
        shown = output.sigmoid() if loss is BCE else output
        assert [float(row[n]) for n in names] == pytest.approx(shown.tolist(), abs=1e-6)
        label = sample["label"].reshape(-1)
        assert [row[name] == "" for name in known] == label.isnan().tolist()
        if loss is BCE:
            there = [n for n, p in zip(names, shown, strict=True) if p >= 0.5]
            assert row["classes"] == ";".join(there)


def test_teachers_are_measured_by_the_metrics_of_the_task(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teachers = {"audio": model(1, 1), "image": model(5, 1)}
    module = DistillationModule(
        model(1), teachers, FeatureLoss(), "image", optimizer=sgd, task_loss=MSE()
    )
    with caplog.at_level(logging.INFO):
        trainer(tmp_path, epochs=1).fit(module, loader(MSE, 1), loader(MSE, 1))
    assert "audio teacher: mae " in caplog.text
    assert "the image teacher is not measured: target has shape [4]" in caplog.text


def test_softmax_kd_of_other_tasks_is_refused_in_module_and_callback() -> None:
    for loss, remedy in ((BCE(), "BinaryKDLoss"), (MSE(), "RegressionKDLoss")):
        message = rf"^KDLoss is for one class per sample, but task_loss is .*{remedy}"
        with pytest.raises(ValueError, match=message):
            DistillationModule(model(2), {}, KDLoss(), "image", task_loss=loss)
        for target in ("label", None):
            with pytest.raises(ValueError, match=message):
                DistillationCallback({}, KDLoss(), target=target, task_loss=loss)


def test_without_labels_the_callback_asks_what_logits_mean() -> None:
    for nested in (KDLoss(), CompositeLoss({"f": FeatureLoss(), "kd": KDLoss()})):
        with pytest.raises(ValueError, match=r"KDLoss is .*task_loss=torch\.nn\.CrossEntropyLoss"):
            DistillationCallback({}, nested, target=None)
    DistillationCallback({}, KDLoss(), target=None, task_loss=nn.CrossEntropyLoss())
    DistillationCallback({}, FeatureLoss(), target=None)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_task_that_is_not_stated_is_refused_in_the_first_batch(
    tmp_path: Path, outputs: int
) -> None:
    module = UnimodalModule(model(outputs), "image", metrics={})
    with pytest.raises(TypeError, match=r"int64 tensor .* task_loss=BCEWithLogitsLoss\(\) for"):
        trainer(tmp_path, epochs=1).fit(module, loader(BCE, outputs))
    added = DistillationCallback(
        {"audio": model(outputs, 1)}, FeatureLoss(), Layers("net.2:input", "net.2")
    )
    with pytest.raises(TypeError, match=r"target='label': .* task_loss=BCEWithLogitsLoss"):
        trainer(tmp_path, added, epochs=1).fit(Own(BCE, outputs), loader(BCE, outputs))


def test_what_needs_one_class_refuses_other_tasks() -> None:
    task = RegressionTask()
    with pytest.raises(ValueError, match="ConfidenceWeights is for one class per sample"):
        ConfidenceWeights().set_task(task)
    for other in (task, MultiLabelTask()):
        with pytest.raises(ValueError, match="evaluation=DenseEvaluation averages"):
            check_evaluation(other, DenseEvaluation())
    check_evaluation(OneClassTask(), DenseEvaluation())
    check_evaluation(task, None)


def test_class_weights_are_in_the_loss_and_in_no_way_of_the_checkpoint(tmp_path: Path) -> None:
    weighted = OneClassTask(weight=[1.0, 2.0])
    module = UnimodalModule(model(2), "image", optimizer=sgd, task_loss=weighted)
    data = [x | {"label": i % 2} for i, x in enumerate(samples(MSE, 1))]
    run = trainer(tmp_path, epochs=1)
    run.fit(module, DataLoader(data, batch_size=8))  # type: ignore[arg-type]
    with torch.no_grad():
        logits = network(2)(torch.stack([x["image"] for x in data]))
    target = torch.tensor([i % 2 for i in range(8)])
    expected = nn.functional.cross_entropy(logits, target, torch.tensor([1.0, 2.0]))
    assert run.callback_metrics["train/loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    plain = UnimodalModule(model(2), "image")
    assert plain.state_dict().keys() == model(2).state_dict(prefix="model.").keys()
    reloaded = UnimodalModule(model(2), "image", task_loss=weighted)
    reloaded.load_state_dict(module.state_dict())
    assert equal(values(reloaded), values(module))


class Small(nn.Module):
    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(4, 8), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x)
        return Output(features, self.fc(features))


class Pressures(MultimodalDataModule):
    available_modalities = ("audio", "image")
    class_names = ()

    def make_dataset(self, split: str) -> Any:
        return samples(MSE, 1)


def test_the_command_line_fits_tests_and_predicts_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = {"class_path": f"{__name__}.Small"}
    arguments = {
        "student": small,
        "teachers": {"audio": small},
        "criterion": {"class_path": "fdkd_lightning.RegressionKDLoss"},
        "student_modality": "image",
        "task_loss": {
            "class_path": "fdkd_lightning.RegressionTask",
            "init_args": {
                "loss": {"class_path": "torch.nn.HuberLoss", "init_args": {"delta": 2.0}}
            },
        },
    }
    config = {
        "trainer": {"default_root_dir": "run", "max_epochs": 1, "accelerator": "cpu"},
        "checkpoint": {"monitor": "val/mae", "mode": "min"},
        "model": {"class_path": "fdkd_lightning.DistillationModule", "init_args": arguments},
        "data": {"class_path": f"{__name__}.Pressures", "init_args": {"batch_size": 4}},
    }
    Path("config.yaml").write_text(yaml.safe_dump(config))
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    for command in ("fit", "test", "predict"):
        FDKDCLI([command, "--config=config.yaml", *quiet])
    assert Path("run/checkpoints/best.ckpt").is_file()
    with Path("run/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "label value", "value"]
    assert len(rows) == 8


def test_class_weights_and_wrapped_losses_are_given_in_yaml(tmp_path: Path) -> None:
    weighted = {
        "class_path": "fdkd_lightning.OneClassTask",
        "init_args": {
            "weight": [1.0, 3.0],
            "loss": {
                "class_path": "torch.nn.CrossEntropyLoss",
                "init_args": {"label_smoothing": 0.1},
            },
        },
    }
    small = {"class_path": f"{__name__}.Small", "init_args": {"outputs": 2}}
    config = {"class_path": "fdkd_lightning.UnimodalModule"}
    config["init_args"] = {"model": small, "modality": "image", "task_loss": weighted}  # type: ignore[assignment]
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(UnimodalModule, "model", subclass_mode=True)
    made = parser.instantiate_classes(parser.parse_object({"model": config})).model
    logits, target = torch.randn(3, 2), torch.tensor([0, 1, -100])
    expected = nn.functional.cross_entropy(
        logits, target, torch.tensor([1.0, 3.0]), label_smoothing=0.1
    )
    torch.testing.assert_close(made.task(logits, target), expected)
