import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from fdkd_lightning.data.embedded.digits import AVDigits
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.run.redaction import redact

DEMO = Path(__file__).parents[2] / "configs/demo"
TEACHER_OF = {"audio": "visual", "visual": "audio"}
QUIET = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--data.eval_batch_size=32",
    # It takes the longest of all that is done to the digits.
    "--data.audio_snr=null",
]
SHORT = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=2",
    "--data.train_size=100",
    "--data.labelled=20",
]


class Recorder(Logger):
    """Writes what it is given where it is told to."""

    name = "recorder"
    version = 0

    def __init__(self, save_dir: str = ".") -> None:
        super().__init__()
        self._save_dir = save_dir

    @property
    def save_dir(self) -> str:
        return self._save_dir

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._record({"metrics": metrics})

    def log_hyperparams(self, params: dict[str, Any], *_: Any, **__: Any) -> None:
        self._record({"hyperparams": params})

    def _record(self, entry: dict[str, Any]) -> None:
        with Path(self._save_dir, "recorded.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")


RECORDER = f"{__name__}.Recorder"


def recorded(run: Path, kind: str) -> list[Any]:
    lines = (run / "recorded.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry[kind] for entry in entries if kind in entry]


def fdkd(command: str, config: str | Path, root: Path, *more: str) -> None:
    """The command line on a shipped configuration, by name, or on a file."""
    path = DEMO / f"{config}.yaml" if isinstance(config, str) else config
    args = [f"--data.init_args.root={root}", *QUIET, *(SHORT if command == "fit" else []), *more]
    FDKDCLI([command, "--config", str(path), *args])


def failure(capsys: pytest.CaptureFixture[str], *args: Any) -> str:
    """What the command line says when it fails, printed or raised."""
    capsys.readouterr()
    with pytest.raises((SystemExit, OSError, LookupError, ValueError, RuntimeError)) as error:
        fdkd(*args)
    if isinstance(error.value, SystemExit):
        assert error.value.code not in (None, 0)
    return f"{capsys.readouterr().err}\n{error.value}"


def saved_config(run: Path, version: int = 0) -> Any:
    return yaml.safe_load((run / f"logs/version_{version}/config.yaml").read_text())


def metrics(run: Path, version: int = 0) -> list[dict[str, float]]:
    with (run / f"logs/version_{version}/metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def names(run: Path, version: int = 0) -> set[str]:
    return {name for row in metrics(run, version) for name in row}


def predictions(run: Path) -> list[list[str]]:
    with (run / "predictions.csv").open(newline="") as file:
        return list(csv.reader(file))


def load(checkpoint: Path) -> Any:
    return torch.load(checkpoint, weights_only=True)


def always(checkpoint: Path, digit: int) -> None:
    """Make the checkpoint's network say one digit, whatever it sees."""
    content = load(checkpoint)
    content["state_dict"]["model.net.fc.bias"][digit] = 1000.0
    torch.save(content, checkpoint)


@pytest.fixture
def demo(demo_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of both teachers and both students, below the working directory."""
    shutil.copytree(demo_runs / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs/demo"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to where the tests were started, whose arguments are not ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])


def test_a_run_has_one_folder_and_a_distilled_student_needs_no_teacher_file(
    demo: Path, digits_root: Path
) -> None:
    fitted = {"checkpoints", "logs", "run.json"}
    for role in ("unimodal_visual", "distill_audio"):
        assert {path.name for path in (demo / role).iterdir()} == fitted
    shutil.rmtree(demo / "unimodal_visual")
    run = demo / "distill_audio"
    alone = [digits_root, "--data.modalities=[audio]"]
    fdkd("test", "distill_audio", *alone, "--trainer.limit_test_batches=2")
    fdkd("predict", "distill_audio", *alone, "--trainer.limit_predict_batches=2")
    assert {path.name for path in run.iterdir()} == fitted | {"predictions.csv"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    for version, command in enumerate(["fit", "test"]):
        files = {path.name for path in (run / f"logs/version_{version}").iterdir()}
        assert {"config.yaml", "metrics.csv"} <= files, command
        assert any(name.startswith("events.out.tfevents") for name in files), command
    assert list(Path.cwd().iterdir()) == [demo.parent]
    assert {"test/accuracy", "test/macro_f1", "test/loss"} <= names(run, version=1)
    assert len(predictions(run)) == 1 + 2 * 32


@pytest.mark.parametrize("student", ["audio", "visual"])
def test_distillation_logs_its_terms_and_its_teacher(demo_runs: Path, student: str) -> None:
    terms = {f"train/{name}" for name in ("loss", "task", "low", "high", "align")}
    values = {"val/loss", "val/accuracy", "val/macro_f1", f"teacher/{TEACHER_OF[student]}/accuracy"}
    assert terms | values <= names(demo_runs / f"runs/demo/distill_{student}")
    alone = names(demo_runs / f"runs/demo/unimodal_{student}")
    assert {name for name in alone if name.startswith(("train/", "teacher/"))} == {"train/loss"}


def test_a_teacher_that_is_not_trained_yet_is_named(
    digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failure(capsys, "fit", "distill_audio", digits_root)
    assert "runs/demo/unimodal_visual/checkpoints/best.ckpt" in message
    assert "train that model first" in message
    assert not list(Path.cwd().rglob("*.ckpt"))


def test_predictions_are_a_table_of_the_whole_test_split(demo: Path, digits_root: Path) -> None:
    fdkd("predict", "unimodal_visual", digits_root)
    header, *rows = predictions(demo / "unimodal_visual")
    digits = AVDigits(digits_root, modalities=["visual"])
    digits.setup("test")
    samples = [digits.datasets["test"][i] for i in range(2500)]
    assert header == ["index", "label", "class", *AVDigits.class_names]
    assert [int(row[0]) for row in rows] == sorted(int(sample["index"]) for sample in samples)
    labels = {str(int(s["index"])): AVDigits.class_names[int(s["label"])] for s in samples}
    assert {index: label for index, label, *_ in rows} == labels
    for _, _, name, *probabilities in rows:
        values = [float(p) for p in probabilities]
        # Ten values of six decimals each.
        assert sum(values) == pytest.approx(1, abs=1e-5)
        assert values[header.index(name) - 3] == max(values)


def test_evaluation_uses_the_best_checkpoint_unless_told_otherwise(
    demo: Path, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = demo / "unimodal_visual"
    always(run / "checkpoints/best.ckpt", 3)
    always(run / "checkpoints/last.ckpt", 5)
    shutil.copy(run / "checkpoints/last.ckpt", "mine.ckpt")
    always(Path("mine.ckpt"), 7)
    content = load(Path("mine.ckpt"))
    content["state_dict"]["model.net.fc.bias"][5] = 0.0
    torch.save(content, "mine.ckpt")
    for choice, name in ([], "three"), (["last"], "five"), (["mine.ckpt"], "seven"):
        more = [f"--ckpt_path={path}" for path in choice]
        fdkd("predict", "unimodal_visual", digits_root, "--trainer.limit_predict_batches=2", *more)
        assert {row[2] for row in predictions(run)[1:]} == {name}
    capsys.readouterr()
    fdkd("test", "unimodal_visual", digits_root, "--trainer.limit_test_batches=5")
    printed = capsys.readouterr().out
    digits = AVDigits(digits_root, modalities=["visual"])
    digits.setup("test")
    labels = [int(digits.datasets["test"][i]["label"]) for i in range(5 * 32)]
    measured = metrics(run, version=4)[-1]["test/accuracy"]
    assert measured == pytest.approx(labels.count(3) / len(labels))
    # Once, in the summary, and not in Lightning's table, too.
    assert printed.count("test/accuracy") == 1
    assert f"test/accuracy {measured:.4f}" in printed


@pytest.mark.parametrize(
    ("command", "given", "named"),
    [
        ("fit", "last", "checkpoints/last.ckpt"),
        ("test", "last", "checkpoints/last.ckpt"),
        ("test", None, "checkpoints/best.ckpt"),
        ("validate", None, "checkpoints/best.ckpt"),
        ("predict", None, "checkpoints/best.ckpt"),
        ("fit", "nowhere/epoch.ckpt", "nowhere/epoch.ckpt"),
        ("test", "nowhere/epoch.ckpt", "nowhere/epoch.ckpt"),
    ],
)
def test_a_missing_checkpoint_is_an_error_that_says_what_to_do(
    digits_root: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    given: str | None,
    named: str,
) -> None:
    more = [] if given is None else [f"--ckpt_path={given}"]
    message = failure(capsys, command, "unimodal_audio", digits_root, *more)
    assert f"ckpt_path='{given or 'best'}'" in message
    assert named in message
    assert "train first" in message
    assert "give the path of a checkpoint" in message
    assert not list(Path.cwd().iterdir())


def test_a_second_fit_does_not_touch_the_first_unless_told_to(
    demo: Path, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = demo / "unimodal_visual/checkpoints/last.ckpt"
    first = last.read_bytes()
    other = ["--seed_everything=1"]
    message = failure(capsys, "fit", "unimodal_visual", digits_root, *other)
    for remedy in ("--ckpt_path=last", "--overwrite=true", "--trainer.default_root_dir="):
        assert remedy in message
    assert str(last.parent.relative_to(Path.cwd())) in message
    assert last.read_bytes() == first
    fdkd("fit", "unimodal_visual", digits_root, *other, "--overwrite=true")
    again = load(last)["state_dict"]["model.net.fc.weight"]
    last.write_bytes(first)
    assert not torch.equal(again, load(last)["state_dict"]["model.net.fc.weight"])


def test_the_runs_folder_may_be_named_by_environment_variables(
    digits_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "seven")
    name = "sweep/$WANDB_RUN_ID/${WANDB_RUN_ID}/run"
    fdkd("fit", "unimodal_visual", digits_root, f"--trainer.default_root_dir={name}")
    assert [path.name for path in Path.cwd().iterdir()] == ["sweep"]
    run = Path("sweep/seven/seven/run")
    assert {path.name for path in run.iterdir()} == {"checkpoints", "logs", "run.json"}
    # So the run's own configuration does not depend on it.
    monkeypatch.delenv("WANDB_RUN_ID")
    saved = run / "logs/version_0/config.yaml"
    for config in (saved_config(run), printed_config(capsys, digits_root, saved)):
        assert config["trainer"]["default_root_dir"] == str(run)


def test_checkpoints_may_lie_in_the_runs_folder_itself(digits_root: Path) -> None:
    folders = ["--trainer.default_root_dir=run", "--checkpoint.dirpath=run"]
    fdkd("fit", "unimodal_visual", digits_root, *folders)
    assert {"best.ckpt", "last.ckpt"} < {path.name for path in Path("run").iterdir()}


@pytest.mark.parametrize("name", ["$FDKD_UNSET", "${FDKD_UNSET}"])
def test_an_environment_variable_that_is_not_set_is_named(
    digits_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.delenv("FDKD_UNSET", raising=False)
    folder = f"--trainer.default_root_dir=sweep/{name}"
    message = failure(capsys, "fit", "unimodal_audio", digits_root, folder)
    line, place = [line for line in message.splitlines() if "FDKD_UNSET" in line]
    assert place.endswith("is given on the command line")
    assert line.startswith("error: trainer.default_root_dir=")
    assert f"names {name}, which is not set: set that environment variable" in line
    assert "Traceback" not in message
    assert not list(Path.cwd().iterdir())


def test_a_logger_left_at_the_current_folder_writes_into_the_runs(digits_root: Path) -> None:
    logger = [f"--trainer.logger={RECORDER}", "--trainer.logger.save_dir=."]
    fdkd("fit", "unimodal_visual", digits_root, *logger, "--trainer.default_root_dir=run")
    assert [path.name for path in Path.cwd().iterdir()] == ["run"]
    files = {path.name for path in Path("run").iterdir()}
    # The CSV log is kept beside any logger.
    assert files == {"checkpoints", "config.yaml", "logs", "recorded.jsonl", "run.json"}
    assert Path("run/logs/version_0/metrics.csv").is_file()
    logged = {name for metrics in recorded(Path("run"), "metrics") for name in metrics}
    assert {"train/loss", "val/accuracy"} <= logged


def test_of_several_loggers_one_with_a_folder_of_its_own_keeps_it(digits_root: Path) -> None:
    Path("mine").mkdir()
    own = {"class_path": RECORDER, "init_args": {"save_dir": "mine"}}
    both = json.dumps([{"class_path": RECORDER}, own])
    more = [f"--trainer.logger={both}", "--trainer.default_root_dir=run"]
    fdkd("fit", "unimodal_visual", digits_root, *more)
    assert {path.name for path in Path.cwd().iterdir()} == {"run", "mine"}
    for folder in ("run", "mine"):
        logged = {name for metrics in recorded(Path(folder), "metrics") for name in metrics}
        assert {"train/loss", "val/accuracy"} <= logged


def test_the_configuration_is_logged_once_where_it_is_not_a_file(
    digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Logger] = []
    for logger in (CSVLogger, TensorBoardLogger):
        monkeypatch.setattr(logger, "log_hyperparams", lambda self, *_, **__: calls.append(self))
    loggers = [
        {"class_path": name, "init_args": {"save_dir": "run", "name": "logs", "version": 0}}
        for name in ("CSVLogger", "TensorBoardLogger")
    ]
    both = json.dumps([*loggers, {"class_path": RECORDER}])
    more = [f"--trainer.logger={both}", "--trainer.default_root_dir=run"]
    fdkd("fit", "unimodal_visual", digits_root, *more)
    # Without the folders of this machine.
    assert recorded(Path("run"), "hyperparams") == [redact(saved_config(Path("run")))]
    assert calls == []


def test_a_saved_configuration_in_another_folder_leaves_the_first_run_alone(
    demo: Path, digits_root: Path
) -> None:
    saved = demo / "unimodal_audio/logs/version_0/config.yaml"
    first = (demo / "unimodal_audio/checkpoints/last.ckpt").read_bytes()
    other = ["--trainer.default_root_dir=other", "--overwrite=true", "--seed_everything=1"]
    fdkd("fit", saved, digits_root, *other)
    assert (demo / "unimodal_audio/checkpoints/last.ckpt").read_bytes() == first
    assert not (demo / "unimodal_audio/logs/version_1").exists()
    names = {path.name for path in Path("other/checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt"}


def test_a_saved_configuration_repeats_its_run(demo: Path, digits_root: Path) -> None:
    saved = demo / "distill_visual/logs/version_0/config.yaml"
    last = demo / "distill_visual/checkpoints/last.ckpt"
    first = load(last)["state_dict"]
    fdkd("fit", saved, digits_root, "--overwrite=true")
    second = load(last)["state_dict"]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_limit_of_one_is_one_batch(demo: Path, digits_root: Path) -> None:
    fdkd("predict", "unimodal_visual", digits_root, "--trainer.limit_predict_batches=1")
    assert len(predictions(demo / "unimodal_visual")) == 1 + 32


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(digits_root: Path) -> None:
    first_is_best = ["--checkpoint.monitor=epoch", "--checkpoint.mode=min"]
    two = ["--trainer.max_epochs=2", *first_is_best, "--trainer.default_root_dir"]
    fdkd("fit", "unimodal_visual", digits_root, *two, "whole")
    # Two steps are the first epoch.
    fdkd("fit", "unimodal_visual", digits_root, *two, "parts", "--trainer.max_steps=2")
    assert load(Path("parts/checkpoints/last.ckpt"))["global_step"] == 2
    fdkd("fit", "unimodal_visual", digits_root, *two, "parts", "--ckpt_path=last")
    whole, parts = (load(Path(run, "checkpoints/last.ckpt")) for run in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 4
    weights = parts["state_dict"]
    assert all(torch.equal(w, weights[name]) for name, w in whole["state_dict"].items())
    # Last is the last epoch, best the best one.
    assert whole["epoch"] == 1
    assert load(Path("whole/checkpoints/best.ckpt"))["epoch"] == 0


def test_a_finished_run_goes_on_with_more_epochs_and_their_learning_rates(
    demo: Path, digits_root: Path
) -> None:
    run = demo / "distill_audio"
    more = ["--ckpt_path=last", "--trainer.max_epochs=3", "--trainer.callbacks=LearningRateMonitor"]
    fdkd("fit", "distill_audio", digits_root, *more)
    assert {row["epoch"] for row in metrics(run, version=1) if "train/loss" in row} == {1, 2}
    last = load(run / "checkpoints/last.ckpt")
    assert (last["epoch"], last["global_step"]) == (2, 6)
    rates = [row["lr-SGD"] for row in metrics(run, version=1) if "lr-SGD" in row]
    assert rates == pytest.approx(
        [1e-4 + (0.05 - 1e-4) * (1 - epoch / 3) ** 0.9 for epoch in (1, 2)]
    )


def printed_config(
    capsys: pytest.CaptureFixture[str], root: Path, config: str | Path, *more: str
) -> Any:
    """The configuration that fit is given, as the command line prints it instead of a fit."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        fdkd("fit", config, root, *more, "--print_config")
    assert error.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("init_args", ["", "init_args."])
def test_an_override_reaches_the_criterion(
    demo_runs: Path, digits_root: Path, capsys: pytest.CaptureFixture[str], init_args: str
) -> None:
    key = f"--model.{init_args}criterion.{init_args}decoupler.{init_args}threshold"
    configs = [
        saved_config(demo_runs / "runs/demo/distill_visual"),
        printed_config(capsys, digits_root, "distill_visual", f"{key}=0.25"),
    ]
    criteria = [config["model"]["init_args"]["criterion"]["init_args"] for config in configs]
    assert [c["decoupler"]["init_args"]["threshold"] for c in criteria] == [0.5, 0.25]
    criteria[1]["decoupler"]["init_args"]["threshold"] = 0.5
    assert criteria[0] == criteria[1]


def test_a_later_configuration_wins(
    tmp_path: Path, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("model: {init_args: {optimizer: {init_args: {lr: 0.5}}}}")
    config = printed_config(capsys, digits_root, "unimodal_audio", f"--config={overlay}")
    optimizer = config["model"]["init_args"]["optimizer"]
    assert (optimizer["init_args"]["lr"], optimizer["init_args"]["momentum"]) == (0.5, 0.9)


def test_a_trial_run_leaves_nothing_in_the_way_of_the_real_one(digits_root: Path) -> None:
    fdkd("fit", "unimodal_visual", digits_root, "--trainer.fast_dev_run=true")
    assert not list(Path.cwd().rglob("*.ckpt"))
    fdkd("fit", "unimodal_visual", digits_root)


def test_a_run_without_loggers_can_be_tested_in_its_folder(digits_root: Path) -> None:
    more = ["--trainer.logger=false", "--trainer.default_root_dir=run"]
    fdkd("fit", "unimodal_visual", digits_root, *more)
    fdkd("test", "unimodal_visual", digits_root, *more, "--trainer.limit_test_batches=2")


@pytest.mark.parametrize(
    ("config", "wrong", "parts"),
    [
        (
            "distill_visual",
            "--model.criterion.decoupler.threshold=1.5",
            ["threshold=1.5", "(0, 1)", "for example 0.5"],
        ),
        (
            "distill_visual",
            "--model.criterion.decoupler.treshold=0.4",
            ["criterion.decoupler.treshold=0.4", "did you mean threshold?"],
        ),
        (
            "distill_visual",
            "--model.criterion=fdkd_lightning.KDLos",
            ["model.criterion=fdkd_lightning.KDLos:", "did you mean fdkd_lightning.KDLoss"],
        ),
        (
            "unimodal_audio",
            "--model=fdkd_lightning.Unimodal",
            ["model=fdkd_lightning.Unimodal:", "did you mean fdkd_lightning.UnimodalModule"],
        ),
        (
            "unimodal_audio",
            "--data.modalities=[video]",
            ["modalities=['video']", "one or more of ['audio', 'visual', 'text']"],
        ),
        (
            "unimodal_audio",
            "--data.train_size=5",
            ["train_size=5", "from 10 to 2000"],
        ),
        (
            "unimodal_audio",
            "--model.modality=visual",
            ["no modality 'visual', only: audio", "add it to the data's `modalities`"],
        ),
        (
            "unimodal_audio",
            "--model.model.num_classes=5",
            ["num_classes=5", "set num_classes=10, or name fewer classes in the data"],
        ),
    ],
)
def test_a_mistake_is_named_with_its_remedy(
    digits_root: Path,
    capsys: pytest.CaptureFixture[str],
    config: str,
    wrong: str,
    parts: list[str],
) -> None:
    message = failure(capsys, "fit", config, digits_root, wrong)
    assert all(part in message for part in parts), message


def test_data_without_the_teachers_modality_is_an_error(
    demo: Path, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["--data.modalities=[visual]", "--trainer.default_root_dir=run"]
    message = failure(capsys, "fit", "distill_visual", digits_root, *wrong)
    assert "no modality 'audio', only: visual" in message
    assert "add it to the data's `modalities`" in message


def test_a_root_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    message = failure(capsys, "fit", "unimodal_audio", tmp_path / "file/below")
    assert f"root: cannot write to {tmp_path / 'file/below'}" in message
    assert "Set root (--root, --data.root) to another folder" in message


def test_without_a_subcommand_the_subcommands_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as error:
        FDKDCLI([])
    assert error.value.code == 2
    assert "{fit,validate,test,predict}" in capsys.readouterr().err
