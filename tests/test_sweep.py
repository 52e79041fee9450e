import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from fdkd_lightning.cli import main
from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.run.redaction import redact

CONFIGS = Path(__file__).parents[1] / "configs"
SWEEP = yaml.safe_load((CONFIGS / "sweep.yaml").read_text())
GRID = [
    dict(zip(SWEEP["parameters"], values, strict=True))
    for values in itertools.product(*(p["values"] for p in SWEEP["parameters"].values()))
]
EPOCHS = 2
SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    f"--trainer.max_epochs={EPOCHS}",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=2",
    "--data.train_size=200",
    "--data.labelled=40",
]


def command(parameters: dict[str, float]) -> list[str]:
    """The run's command as W&B's agent makes it, without the shell's say."""
    # It takes seconds to import, in each worker.
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    macros = create_sweep_command_args({"args": {k: {"value": v} for k, v in parameters.items()}})
    macros |= {"env": ["/usr/bin/env"], "program": [SWEEP["program"]]}
    chunks: list[str] = []
    for chunk in create_sweep_command([*SWEEP["command"]]):
        macro = re.fullmatch(r"\$\{(\w+)\}", chunk)
        chunks += macros[macro[1]] if macro else [chunk]
    return chunks


def arguments(parameters: dict[str, float]) -> list[str]:
    """Those of ``fdkd`` itself."""
    before, args = command(parameters)[:2], command(parameters)[2:]
    assert before == ["/usr/bin/env", "fdkd"]
    return args


def last_names(parameters: dict[str, float]) -> dict[str, float]:
    return {name.rpartition(".")[2]: value for name, value in parameters.items()}


def files() -> set[Path]:
    return {path for path in Path.cwd().rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where W&B's agent was started, for run `seven`, and nothing of the user's own W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    # The logger sets it; so it will be unset again.
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb's"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_RUN_ID", "seven")
    folder = tmp_path / "agent"
    shutil.copytree(CONFIGS, folder / "configs")
    monkeypatch.setenv("WANDB_DIR", str(folder))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    return folder


class BuiltError(BaseException):
    """Fit was about to begin."""


@pytest.fixture
def clis(monkeypatch: pytest.MonkeyPatch) -> list[LightningCLI]:
    """Command lines when fit is about to begin, where they stop."""
    clis: list[LightningCLI] = []

    def stop(cli: LightningCLI) -> None:
        clis.append(cli)
        raise BuiltError

    # LightningCLI calls it if it is there.
    monkeypatch.setattr(LightningCLI, "before_fit", stop, raising=False)
    return clis


def test_the_grid_is_every_combination() -> None:
    assert SWEEP["method"] == "grid"
    assert len({tuple(parameters.values()) for parameters in GRID}) == len(GRID) == 3**3


# Each value of each parameter once, at different places of the three lists.
@pytest.mark.parametrize(
    "parameters",
    [GRID[5], GRID[15], GRID[19]],
    ids=lambda p: "-".join(str(value) for value in p.values()),
)
def test_a_run_of_the_sweep_builds_the_criterion_it_names(
    clis: list[LightningCLI], parameters: dict[str, float]
) -> None:
    before = files()
    with pytest.raises(BuiltError):
        main(arguments(parameters))
    [cli] = clis
    assert isinstance(cli.model, DistillationModule)
    criterion = cli.model.criterion
    assert isinstance(criterion, FDKDLoss)
    assert isinstance(criterion.decoupler, FrequencyDecoupler)
    found = {name: getattr(criterion, name) for name in ("lambda_low", "lambda_high")}
    assert {"threshold": criterion.decoupler.threshold, **found} == last_names(parameters)
    assert cli.trainer.default_root_dir == "runs/sweep/seven"
    logger, csv = cli.trainer.loggers
    assert isinstance(csv, CSVLogger)
    assert isinstance(logger, WandbLogger)
    assert (logger.name, logger.save_dir) == (SWEEP["project"], cli.trainer.default_root_dir)
    # Nothing began.
    assert wandb.run is None
    assert files() == before


def test_the_configurations_of_the_sweep_exist() -> None:
    chunks = SWEEP["command"]
    configs = [chunks[i + 1] for i, chunk in enumerate(chunks) if chunk == "--config"]
    assert configs
    assert [config for config in configs if not Path(config).is_file()] == []
    # The parameters come last, or the configurations would undo them.
    assert chunks[-1] == "${args}"


def test_a_parameter_that_the_command_line_does_not_know_would_be_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So the test above says that the sweep's names are known."""
    last = list(SWEEP["parameters"])[-1]
    with pytest.raises(SystemExit):
        main(arguments({**GRID[0], f"{last}er": 1.0}))
    assert "lambda_higher" in capsys.readouterr().err


def test_the_sweep_follows_what_the_checkpoint_follows_and_stops_early_within_a_run(
    clis: list[LightningCLI],
) -> None:
    with pytest.raises(BuiltError):
        main(arguments(GRID[0]))
    trainer = clis[0].trainer
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    goal = {"max": "maximize", "min": "minimize"}[best.mode]
    assert SWEEP["metric"] == {"name": best.monitor, "goal": goal}
    stop = SWEEP["early_terminate"]
    # Hyperband compares runs after min_iter, min_iter x eta, ... values of the metric.
    assert stop["type"] == "hyperband"
    assert trainer.max_epochs is not None
    assert 1 < stop["min_iter"] < stop["min_iter"] * stop["eta"] < trainer.max_epochs


@pytest.fixture
def teacher(agent: Path) -> None:
    """Weights where configs/demo/distill_visual.yaml looks for its teacher's."""
    path = agent / "runs/demo/unimodal_audio/checkpoints/best.ckpt"
    path.parent.mkdir(parents=True)
    network = ResNet(10, 1, (1, 1, 1, 1), (8, 16, 32, 64), stem_pool=False)
    torch.save(network.state_dict(), path)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """What is started, W&B's service among them; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    # It reads the environment once.
    wandb.teardown()
    yield started
    wandb.teardown()


@pytest.mark.slow
@pytest.mark.usefixtures("teacher")
def test_a_run_of_the_sweep_logs_to_wandb_offline_inside_its_folder(
    tmp_path: Path,
    digits_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: list[subprocess.Popen[bytes]],
) -> None:
    # The agent hands the parameters to wandb.init too, which locks them.
    parameters = GRID[5]
    handed = tmp_path / "config-seven.yaml"
    handed.write_text(yaml.safe_dump({k: {"value": v} for k, v in parameters.items()}))
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(handed))
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.delenv("WANDB_MODE")
    logged: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    log, update = wandb.Run.log, wandb.sdk.wandb_config.Config.update

    def recorded_log(run: wandb.Run, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        logged.append(dict(data))
        log(run, data, *args, **kwargs)

    def recorded_update(config: Any, values: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        updates.append(dict(values))
        update(config, values, *args, **kwargs)

    monkeypatch.setattr(wandb.Run, "log", recorded_log)
    monkeypatch.setattr(wandb.sdk.wandb_config.Config, "update", recorded_update)
    before = files()
    offline = "--trainer.logger.init_args.offline=true"
    main([*arguments(parameters), *SHORT, f"--data.root={digits_root}", offline])

    assert wandb.run is not None
    assert wandb.run.offline
    assert (wandb.run.id, wandb.run.sweep_id) == ("seven", "sweep")
    assert {name: wandb.run.config[name] for name in parameters} == parameters
    wandb.finish()
    wandb.teardown()
    assert processes
    assert [process.args for process in processes if process.poll() is None] == []

    # The hyper-parameters, once, as the run's folder has them, without this machine's folders.
    [values] = updates
    saved = yaml.safe_load(Path("runs/sweep/seven/config.yaml").read_text())
    assert values == redact(saved)
    for name, value in parameters.items():
        assert functools.reduce(dict.__getitem__, name.split("."), values) == value

    # Each epoch has every term and one value of the sweep's metric.
    terms = [f"train/{name}" for name in ("loss", "task", "low", "high", "align")]
    for name in (*terms, "val/accuracy", "val/loss", SWEEP["metric"]["name"]):
        assert sum(name in row for row in logged) == EPOCHS, name

    run = Path.cwd() / "runs/sweep/seven"
    written = files() - before
    assert {path.name for path in written} >= {"config.yaml", "best.ckpt", "run-seven.wandb"}
    assert {path for path in written if not path.is_relative_to(run)} == set()
