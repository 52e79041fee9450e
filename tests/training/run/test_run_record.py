import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.run.provenance import sha256
from fdkd_lightning.training.run.run_record import RunRecord, describe_checkpoint, read_run
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

RUN = Path("run")
CONFIG = {
    "seed_everything": 7,
    "model": {"class_path": "mine.Module", "init_args": {"lr": 0.1}},
    "data": {"class_path": "mine.Pairs", "init_args": {"root": "/home/me/data", "noise": 0.5}},
}


class Net(nn.Linear):
    def forward(self, x: Tensor) -> Output:
        return Output(x, super().forward(x))


class Pairs(LightningDataModule):
    loading_arguments = ("root",)
    coverage: dict[str, Any]

    def prepare_data(self) -> None:
        self.coverage = {"train": {"ok": 8}}

    def train_dataloader(self) -> Any:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(8, 4, generator=generator)
        batch = [{"audio": x[i], "label": i % 2, "index": i} for i in range(8)]
        return DataLoader(batch, batch_size=2)  # type: ignore[arg-type]  # a list will do

    val_dataloader = test_dataloader = train_dataloader


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Temporary folders may lie in a checkout: those of nox do.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def record_of(config: dict[str, Any]) -> RunRecord:
    parser = LightningArgumentParser()
    parser.add_argument("--seed_everything", type=int)
    parser.add_argument("--model", type=dict)
    parser.add_argument("--data", type=dict)
    return RunRecord(parser, Namespace(**config), ["fit", "--config=/home/me/run.yaml"])


def run(
    command: str,
    path: str | None = None,
    config: dict[str, Any] = CONFIG,
    more: list[Callback] | None = None,
    **arguments: Any,
) -> Any:
    """A trainer's fit, test or validate, as the command line starts it; the content of run.json."""
    torch.manual_seed(0)
    best = ModelCheckpoint(
        "run/checkpoints",
        "best",
        monitor="val/accuracy",
        mode="max",
        enable_version_counter=False,
    )
    last = ModelCheckpoint(
        "run/checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[record_of(config), *(more or []), best, last],
        default_root_dir="run",
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=False,
        **{"max_epochs": 3, **arguments},
    )
    method = getattr(trainer, command)
    method(UnimodalModule(Net(4, 2), "audio"), datamodule=Pairs(), ckpt_path=path)
    return read_run(RUN)


def test_fit_records_what_was_trained_and_where() -> None:
    record = run("fit")
    fit = record["fit"]
    assert fit["config"]["model"] == CONFIG["model"]
    assert fit["data"] == {"class_path": "mine.Pairs", "init_args": {"noise": 0.5}}
    assert fit["coverage"] == {"train": {"ok": 8}}
    assert (fit["seed"], fit["ranks"], fit["device"], fit["precision"]) == (7, 1, "cpu", "32-true")
    assert (fit["epochs"], fit["steps"]) == (3, 12)
    assert fit["versions"]["torch"]
    assert (fit["commit"], fit["resumed_from"], fit["weights"]) == (None, None, {})
    assert fit["started"] <= fit["finished"]
    assert fit["seconds"] >= 0
    assert fit["command"] == ["fit", "--config=run.yaml"]
    assert record["evaluations"] == []
    assert "/home" not in (RUN / "run.json").read_text()
    assert [path.name for path in RUN.iterdir() if path.is_file()] == ["run.json"]


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SIGTERMException])
def test_a_fit_that_a_signal_ends_says_how_it_goes_on(
    signal: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    class Stop(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                raise signal

    with pytest.raises((SystemExit, SIGTERMException)):
        run("fit", more=[Stop()])
    assert (
        "interrupted in step 4: the same command with --ckpt_path=last goes on from "
        f"{Path.cwd() / 'run/checkpoints/last.ckpt'}"
    ) in capsys.readouterr().out
    assert run("fit", "run/checkpoints/last.ckpt")["fit"]["steps"] == 12


def test_each_checkpoint_is_recorded_with_its_own_validation() -> None:
    measured: dict[int, float] = {}

    class Watch(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
            measured[trainer.global_step] = float(trainer.callback_metrics["val/accuracy"])

    checkpoints = run("fit", more=[Watch()])["checkpoints"]
    assert [*checkpoints] == ["best", "last"]
    assert (checkpoints["last"]["epoch"], checkpoints["last"]["step"]) == (2, 12)
    for name, entry in checkpoints.items():
        path = RUN / f"checkpoints/{name}.ckpt"
        assert entry["file"] == path.name
        assert entry["sha256"] == sha256(path)
        assert entry["validation"]["whole_split"]
        assert entry["validation"]["metrics"]["val/accuracy"] == measured[entry["step"]]
    assert checkpoints["best"]["validation"]["metrics"]["val/accuracy"] == max(measured.values())


def test_a_checkpoint_of_another_step_than_the_validation_has_no_metrics() -> None:
    last = run("fit", check_val_every_n_epoch=2)["checkpoints"]["last"]
    assert (last["step"], last["validation"]) == (12, None)


def test_validation_on_a_part_of_the_split_is_marked() -> None:
    for limit in (1, 0.5):
        record = run("fit", limit_val_batches=limit)
        assert not record["checkpoints"]["best"]["validation"]["whole_split"]


def test_an_evaluation_is_added_and_leaves_the_rest_as_it_is() -> None:
    first = run("fit")
    run("test", "run/checkpoints/best.ckpt")
    record = run("validate", "run/checkpoints/last.ckpt", limit_val_batches=2)
    assert {k: v for k, v in record.items() if k != "evaluations"} == {
        k: v for k, v in first.items() if k != "evaluations"
    }
    test, validation = record["evaluations"]
    assert (test["split"], test["whole_split"]) == ("test", True)
    assert test["checkpoint"]["sha256"] == first["checkpoints"]["best"]["sha256"]
    assert test["data"] == first["fit"]["data"]
    assert {"test/accuracy", "test/loss", "test/macro_f1"} == test["metrics"].keys()
    assert (validation["split"], validation["whole_split"]) == ("val", False)
    assert validation["checkpoint"]["step"] == 12


def test_an_evaluation_of_weights_in_memory_names_no_checkpoint() -> None:
    record = run("test")
    assert record["fit"] is None
    assert record["checkpoints"] == {}
    assert record["evaluations"][0]["checkpoint"] is None


def test_a_new_fit_replaces_the_record_and_a_resumed_one_keeps_its_evaluations() -> None:
    run("fit")
    run("test", "run/checkpoints/last.ckpt")
    resumed = run("fit", "run/checkpoints/last.ckpt", max_epochs=4)
    assert resumed["fit"]["resumed_from"]["step"] == 12
    assert (resumed["fit"]["epochs"], resumed["fit"]["steps"]) == (4, 16)
    [test] = resumed["evaluations"]
    assert test["checkpoint"]["sha256"] == resumed["fit"]["resumed_from"]["sha256"]
    shutil.rmtree(RUN / "checkpoints")
    assert run("fit")["evaluations"] == []


def test_a_best_checkpoint_from_before_a_resumption_keeps_its_validation() -> None:
    first = run("fit", max_epochs=1)["checkpoints"]["best"]
    constant = run("fit", "run/checkpoints/last.ckpt", max_epochs=2, limit_val_batches=0)
    assert constant["checkpoints"]["best"] == first
    assert constant["checkpoints"]["last"]["validation"] is None


def test_a_fit_that_ends_early_is_not_finished() -> None:
    class Fails(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        run("fit", more=[Fails()])
    record = read_run(RUN)
    assert record is not None
    assert record["fit"]["finished"] is None
    assert record["checkpoints"] == {}
    # Still known from the file itself.
    assert describe_checkpoint(RUN / "checkpoints/last.ckpt")["validation"]["metrics"]


def test_a_trial_run_and_other_ranks_write_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("fit", fast_dev_run=True) is None
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    assert run("fit") is None
    assert run("test") is None


def test_files_that_hold_less_are_described_as_far_as_they_go() -> None:
    unknown = {"epoch": None, "step": None, "validation": None}
    torch.save({"fc.weight": torch.ones(1)}, "plain.ckpt")
    torch.save({"fc.weight": torch.ones(1)}, "old.ckpt", _use_new_zipfile_serialization=False)
    torch.save([torch.ones(1)], "list.ckpt")
    torch.save({"epoch": 1, "global_step": 2, "model": nn.ReLU()}, "pickled.ckpt")
    for name in ("plain", "old", "list", "pickled"):
        path = Path(f"{name}.ckpt")
        assert describe_checkpoint(path) == {"sha256": sha256(path), **unknown}


def test_a_record_of_another_format_is_refused() -> None:
    assert read_run(".") is None
    Path("run.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(ValueError, match=r"run\.json has format version 99.*reads 1"):
        read_run(".")
    Path("run.json").write_text('{"version": 1, "fit":')
    with pytest.raises(ValueError, match=r"run\.json, line 1 is damaged"):
        read_run(".")


def test_the_command_line_records_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    torch.save({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, "first.ckpt")
    network = {
        "class_path": "fdkd_lightning.PretrainedModel",
        "init_args": {
            "model": {
                "class_path": f"{__name__}.Net",
                "init_args": {"in_features": 4, "out_features": 2},
            },
            "checkpoint": str(Path("first.ckpt").absolute()),
        },
    }
    arguments = {"model": network, "modality": "audio"}
    config = {
        "model": {"class_path": "fdkd_lightning.UnimodalModule", "init_args": arguments},
        "data": {"class_path": f"{__name__}.Pairs"},
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
    }
    Path("run.yaml").write_text(json.dumps(config))
    root = f"--trainer.default_root_dir={Path('run').absolute()}"
    FDKDCLI(["fit", "--config=run.yaml", root, "--trainer.callbacks=LearningRateMonitor"])
    FDKDCLI(["test", "--config=run.yaml", root])
    record = read_run(RUN)
    assert record is not None
    fit = record["fit"]
    assert fit["config"]["model"]["init_args"]["modality"] == "audio"
    assert fit["command"] == [
        "fit",
        "--config=run.yaml",
        "--trainer.default_root_dir=run",
        "--trainer.callbacks=LearningRateMonitor",
    ]
    assert fit["weights"] == {"model": {"file": "first.ckpt", "sha256": sha256(Path("first.ckpt"))}}
    assert record["checkpoints"].keys() == {"best", "last"}
    metrics = record["checkpoints"]["best"]["validation"]["metrics"]
    assert metrics.keys() >= {"val/accuracy", "val/loss"}
    [test] = record["evaluations"]
    assert test["checkpoint"]["sha256"] == record["checkpoints"]["best"]["sha256"]
    assert test["data"] == fit["data"]
    assert str(Path.cwd()) not in json.dumps(record)
