import csv
import json
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from fdkd_lightning.decoupler import frequency_split
from fdkd_lightning.study.cell import Result, read_result, run_cell
from fdkd_lightning.study.planned_run import Run

RUNS = Path("runs")
# The first epoch is the best one, whatever is found on validation data.
FIRST = ("--trainer.max_epochs=4", "--checkpoint.monitor=epoch", "--checkpoint.mode=min")
TEACHER = Run("teacher", "audio", "full", 1, "", ("unimodal_audio.yaml",))


def unimodal(*args: str, seed: int = 1) -> Run:
    return Run("alone", "to visual", "full", seed, "", ("unimodal_visual.yaml", *args))


def distilled(*args: str, teacher: Run = TEACHER, name: str = "fdkd") -> Run:
    args = ("distill_visual.yaml", *args)
    return Run(name, "to visual", "full", 1, "", args, (("audio", teacher),))


def done(run: Run, metric: str = "accuracy") -> Result:
    """The run's result, after that of its teachers."""
    for teacher in (t for _, t in run.teachers):
        assert run_cell(teacher, RUNS, metric) is None
    assert run_cell(run, RUNS, metric) is None
    result = read_result(run, RUNS, metric)
    assert result is not None
    return result


def found(result: Result) -> Result:
    """What does not depend on the clock."""
    return replace(result, seconds=0.0)


def logged(run: Run, version: int = 0) -> list[dict[str, float]]:
    with (RUNS / run.name / f"logs/version_{version}/metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def accuracies(
    run: Run, checkpoint: str, split: str, data_seed: int | None = None
) -> dict[str, float]:
    """Of the weights in a checkpoint, all by hand: the main head's and the shared classifiers'."""
    from tiny import Pairs  # type: ignore[import-not-found]  # the user's, in the working directory

    data = Pairs(seed=run.seed if data_seed is None else data_seed)
    dataset = data.make_dataset(split)
    x, label = dataset.inputs["visual"], dataset.classes
    path = RUNS / run.name / f"checkpoints/{checkpoint}.ckpt"
    w = torch.load(path, weights_only=True)["state_dict"]

    def share(logits: Tensor) -> float:
        return (logits.argmax(1) == label).double().mean().item()

    features = (x @ w["model.body.weight"].T + w["model.body.bias"]).relu()
    values = {"": share(features @ w["model.head.weight"].T + w["model.head.bias"])}
    if "distiller.criterion.alignment.low.weight" in w:
        for band, part in frequency_split(features)._asdict().items():
            weight, bias = (
                w[f"distiller.criterion.alignment.{band}.{p}"] for p in ("weight", "bias")
            )
            values[f"align_{band}"] = share(part.relu() @ weight.T + bias)
    return values


@pytest.mark.usefixtures("home")
def test_a_result_is_the_accuracy_of_the_last_and_of_the_best_weights() -> None:
    run = unimodal(*FIRST)
    result = done(run)
    values = {
        f"{split}_{which}": accuracies(run, which, split)[""]
        for which in ("last", "best")
        for split in ("val", "test")
    }
    assert {key: getattr(result, key) for key in values} == pytest.approx(values)
    assert result.best_epoch == 0
    assert result.test_last != result.test_best
    assert result.heads == {}
    assert result.warnings == []


@pytest.mark.usefixtures("home")
def test_the_best_epoch_is_that_of_the_highest_validation_metric() -> None:
    run = unimodal("--trainer.max_epochs=5", seed=3)
    result = done(run)
    curve = [row["val/accuracy"] for row in logged(run) if "val/accuracy" in row][:5]
    assert curve[result.best_epoch] == pytest.approx(result.val_best)
    assert result.val_best == pytest.approx(max(curve))
    assert result.val_last == pytest.approx(curve[-1])


@pytest.mark.usefixtures("home")
def test_heads_are_the_criterions_classifiers_and_the_teacher_is_the_studys_best_checkpoint() -> (
    None
):
    teacher = replace(TEACHER, args=("unimodal_audio.yaml", *FIRST))
    run = distilled(*FIRST, teacher=teacher)
    result = done(run)
    expected = {
        f"{which}/{name}": value
        for which in ("last", "best")
        for name, value in accuracies(run, which, "test").items()
        if name
    }
    assert len(expected) == 4
    assert result.heads == pytest.approx(expected)
    assert result.test_last == pytest.approx(accuracies(run, "last", "test")[""])
    its = read_result(teacher, RUNS, "accuracy")
    assert its is not None
    assert its.val_best != its.val_last
    (measured,) = [
        row["teacher/audio/accuracy"] for row in logged(run) if "teacher/audio/accuracy" in row
    ]
    assert measured == pytest.approx(its.val_best)


@pytest.mark.usefixtures("home")
def test_another_metric_is_that_metric() -> None:
    run = distilled()
    result = done(run, "macro_f1")
    values = [row["test/macro_f1"] for row in logged(run) if "test/macro_f1" in row]
    assert (result.test_last, result.test_best) == pytest.approx(tuple(values))
    assert result.heads.keys() == {
        f"{which}/align_{band}" for which in ("last", "best") for band in ("low", "high")
    }


@pytest.mark.usefixtures("home")
def test_a_result_of_one_metric_is_not_taken_for_that_of_another() -> None:
    run = unimodal()
    accuracy, macro_f1 = done(run), done(run, "macro_f1")
    values = [row["test/macro_f1"] for row in logged(run) if "test/macro_f1" in row]
    assert values[0] != pytest.approx(accuracy.test_last)
    assert macro_f1.test_last == pytest.approx(values[0])


@pytest.mark.usefixtures("home")
def test_a_run_is_told_in_its_folder_alone(capfd: pytest.CaptureFixture[str]) -> None:
    run = unimodal()
    own = RUNS / run.name
    assert read_result(run, RUNS, "accuracy") is None
    own.mkdir(parents=True)
    (own / ".result.json.0.partial").write_text('{"val_last": 0.')
    result = done(run)
    # The result is a file, and only whole files are results.
    assert Result(**json.loads((own / "result.json").read_text())) == result
    assert not [*own.glob(".*.partial")]
    # Its log is, and nothing is shown.
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""
    assert (own / "run.log").is_file()
    # It logs to CSV alone.
    assert (own / "logs/version_0/metrics.csv").is_file()
    assert not list(own.rglob("events.out.tfevents*"))
    # The result names the commit that it was made with.
    head = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.commit is not None
    assert result.commit.removesuffix("-dirty") == head.stdout.strip()
    for torn in ("", '{"val_last": 0.', '{"val_last": 0.5}', "[]"):
        (own / "result.json").write_text(torn)
        with pytest.warns(UserWarning, match=r"result\.json is damaged, and the run is made again"):
            assert read_result(run, RUNS, "accuracy") is None


@pytest.mark.usefixtures("home")
def test_the_seed_draws_the_data_and_the_weights() -> None:
    one, again, two = (unimodal(seed=seed) for seed in (1, 1, 2))
    done(one)
    done(two)
    saved = [
        yaml.safe_load((RUNS / run.name / "logs/version_0/config.yaml").read_text())
        for run in (one, two)
    ]
    assert [config["seed_everything"] for config in saved] == [1, 2]
    assert [config["data"]["init_args"]["seed"] for config in saved] == [1, 2]
    assert again.name == one.name != two.name


@pytest.mark.usefixtures("home")
def test_data_without_a_seed_are_taken_as_they_are() -> None:
    run = unimodal("--data=tiny.Seedless")
    result = done(run)
    assert result.test_last == pytest.approx(accuracies(run, "last", "test", data_seed=0)[""])


# Warnings.


@pytest.mark.usefixtures("home")
def test_a_teacher_that_knows_nothing_is_told_in_every_students_result() -> None:
    ignorant = replace(TEACHER, args=("unimodal_audio.yaml", "--data.signal=0"))
    for name, filters in ("fdkd", "default"), ("kd", "ignore"):
        with warnings.catch_warnings():
            # It is recorded where warnings are not shown, too.
            warnings.simplefilter(filters)  # type: ignore[arg-type]  # a str
            result = done(distilled("--data.signal=0", teacher=ignorant, name=name))
        assert len(result.warnings) == 1
        assert "the audio teacher's accuracy is" in result.warnings[0]
    # A run that was cut off in its evaluation ends with the same, its warning included.
    run = distilled("--data.signal=0", teacher=ignorant)
    whole = done(run)
    (RUNS / run.name / "result.json").unlink()
    assert found(done(run)) == found(whole)
    assert done(distilled("--data.signal=9")).warnings == []


# Runs that were cut off.


@pytest.mark.usefixtures("home")
def test_a_run_that_was_cut_off_goes_on_and_ends_with_the_same() -> None:
    run = distilled("--trainer.max_epochs=4", "--trainer.callbacks=tiny.Dies")
    whole = done(run)
    (RUNS / run.name).rename("whole")
    Path("die").touch()
    assert run_cell(run, RUNS, "accuracy") is not None
    assert read_result(run, RUNS, "accuracy") is None
    Path("die").unlink()
    assert found(done(run)) == found(whole)
    # It did go on.
    epochs = [{int(r["epoch"]) for r in logged(run, v) if "train/loss" in r} for v in (0, 1)]
    assert epochs == [{0, 1}, {2, 3}]
    last = [
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (Path("whole"), RUNS / run.name)
    ]
    assert all(torch.equal(weight, last[1][name]) for name, weight in last[0].items())


# Runs that fail.


@pytest.mark.parametrize(
    ("run", "parts"),
    [
        (unimodal("--data=tiny.Gone"), ["tiny", "Gone"]),
        (unimodal("--data.labeled=5"), ["labeled"]),
        (unimodal("--data.batch=5"), ["batch"]),
        (unimodal("--model.modality=video"), ["no modality 'video'", "audio, visual"]),
        (
            distilled("--model.teachers.audio=tiny.Net", "--model.teachers.audio.modality=audio"),
            ["model.teachers.audio (tiny.Net)", "PretrainedModel"],
        ),
        (
            replace(distilled(), teachers=()),
            ["model.teachers.audio", "trains none", "list 'audio'"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("home")
def test_a_failure_is_returned_with_its_cause(run: Run, parts: list[str]) -> None:
    for _, teacher in run.teachers:
        run_cell(teacher, RUNS, "accuracy")
    message = run_cell(run, RUNS, "accuracy")
    assert message is not None
    assert message.startswith(f"{run.name}: ")
    assert f"{RUNS / run.name / 'run.log'}" in message
    assert all(part in message for part in parts), message
    assert "Traceback" in (RUNS / run.name / "run.log").read_text()
    assert read_result(run, RUNS, "accuracy") is None


@pytest.mark.usefixtures("home")
def test_a_termination_ends_the_study_and_is_no_failure() -> None:
    # Lightning answers the signal at the end of the batch.
    with pytest.raises(SIGTERMException):
        run_cell(run := unimodal("--trainer.callbacks=tiny.Terminates"), RUNS, "accuracy")
    assert read_result(run, RUNS, "accuracy") is None


@pytest.mark.usefixtures("home")
def test_an_unknown_metric_is_an_error_that_names_those_there_are() -> None:
    message = run_cell(unimodal(), RUNS, "f2")
    assert message is not None
    for part in ("val/f2", "val/accuracy", "val/macro_f1"):
        assert part in message


@pytest.mark.usefixtures("home")
def test_a_failure_leaves_the_streams_and_filters_as_they_were(
    capsys: pytest.CaptureFixture[str],
) -> None:
    filters: list[Any] = list(warnings.filters)
    assert run_cell(unimodal("--data=tiny.Gone"), RUNS, "accuracy") is not None
    assert list(warnings.filters) == filters
    print("heard")
    assert capsys.readouterr().out == "heard\n"


@pytest.mark.usefixtures("home")
def test_a_run_whose_checkpoint_is_damaged_is_made_again_and_says_so() -> None:
    run = unimodal()
    whole = done(run)
    (RUNS / run.name / "result.json").unlink()
    path = RUNS / run.name / "checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[:-200])
    again = done(run)
    said = f"{run.name}: last.ckpt was damaged, and the run was made again from its beginning"
    assert found(again) == replace(found(whole), warnings=[said])


@pytest.mark.usefixtures("home")
def test_a_run_that_diverges_is_a_failure_and_no_result() -> None:
    args = "--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=1e30"
    failure = run_cell(run := unimodal(*args), RUNS, "accuracy")
    assert failure is not None
    assert "training diverged: " in failure
    assert read_result(run, RUNS, "accuracy") is None


@pytest.mark.usefixtures("home")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_log_on_a_full_disk_fails_its_run_alone_and_by_name() -> None:
    run = unimodal("--no_such_key=1")
    log = RUNS / run.name / "run.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    failure = run_cell(run, RUNS, "accuracy")
    assert failure is not None
    assert f"{run.name}: [Errno 28] cannot write {log} (No space left on device)" in failure
    assert len(failure.splitlines()) == 1


@pytest.mark.usefixtures("home")
def test_a_folder_that_cannot_be_made_fails_its_run_alone() -> None:
    RUNS.touch()
    failure = run_cell(run := unimodal(), RUNS, "accuracy")
    assert failure is not None
    assert f"{run.name}: [Errno" in failure
    assert f"cannot write runs/{run.name}" in failure
