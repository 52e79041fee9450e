import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_pairs import ROWS, Data, Incomplete, Loaders, Net, People, module, samples
from torch import Tensor

from fdkd_lightning.analysis.command import Analyzer, analyze
from fdkd_lightning.analysis.figure_rows import ConfusionRow
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.cli import main
from fdkd_lightning.losses.feature import FeatureLoss
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

DEMO = Path(__file__).parents[2] / "configs/demo"


def analyzed(model: Any, data: Any, folder: Path, **arguments: Any) -> list[dict[str, Any]]:
    trainer = Analyzer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder
    )
    trainer.analyze(model, data, **arguments)
    assert trainer.folder == folder / "analysis"
    found: list[dict[str, Any]] = json.loads((trainer.folder / "analysis.json").read_text())[
        "teachers"
    ]
    return found


def test_what_pairs_share_beyond_the_class_is_measured_on_labelled_pairs(tmp_path: Path) -> None:
    [row] = analyzed(module(), Data(batch_size=7), tmp_path)
    assert (row["teacher"], row["student"]) == ("audio", "visual")
    assert row["pairs"] == 48 + ROWS
    # Of four values, the two of noise have a hundredth of the variance.
    assert row["r2"] == pytest.approx(1 / 1.01, abs=0.02)
    assert max(row["r2_shuffled"]) < 0.1
    assert row["groups"] is None
    assert row["probe_labels"] == 48
    assert row["teacher_knows_classes"]
    assert row["chance"] == pytest.approx(1 / 3)
    assert row["student_accuracy"] is None
    assert row["headroom"] is None
    target = torch.stack([s["label"] for s in samples("val")])
    logits = Net()(torch.stack([s["audio"] for s in samples("val")])).logits
    expected = (logits.argmax(1) == target).double().mean()
    assert row["teacher_accuracy"] == pytest.approx(float(expected))


def test_groups_of_the_data_are_kept_apart(tmp_path: Path) -> None:
    [row] = analyzed(module(), People(batch_size=7), tmp_path)
    assert row["groups"] == 12
    assert row["r2_new_groups"] == pytest.approx(1 / 1.01, abs=0.05)


def test_only_samples_with_both_modalities_are_pairs(tmp_path: Path) -> None:
    [row] = analyzed(module(), Incomplete(batch_size=7), tmp_path)
    labelled = [int(s["label"]) != -100 for s in samples("train")]
    assert row["pairs"] == sum(labelled[::2]) + ROWS // 2
    assert row["probe_labels"] == sum(labelled[::2])
    assert row["r2"] > 0.9


def test_loaders_of_another_data_module_give_the_same(tmp_path: Path) -> None:
    [ours] = analyzed(module(), Data(batch_size=7), tmp_path)
    [theirs] = analyzed(module(), Loaders(), tmp_path)
    assert theirs == ours


def test_each_teacher_has_a_row(tmp_path: Path) -> None:
    audio, visual = analyzed(module(visual=Net(turn=2)), Data(batch_size=7), tmp_path)
    assert [audio["teacher"], visual["teacher"]] == ["audio", "visual"]
    assert visual["r2"] == pytest.approx(1, abs=1e-6)
    assert audio["r2"] < visual["r2"]


def test_of_many_pairs_some_are_compared(tmp_path: Path) -> None:
    [row] = analyzed(module(), Data(batch_size=7), tmp_path, max_pairs=50)
    assert row["pairs"] == 50


def test_the_student_without_teacher_gives_the_headroom(tmp_path: Path) -> None:
    path = tmp_path / "student.ckpt"
    torch.save({"scale": torch.full((1,), 0.5)}, path)
    [row] = analyzed(module(), Data(batch_size=7), tmp_path, student_checkpoint=str(path))
    assert row["student_checkpoint"] == str(path)
    target = torch.stack([s["label"] for s in samples("val")])
    logits = Net()(torch.stack([s["visual"] for s in samples("val")])).logits
    accuracy = float((logits.argmax(1) == target).double().mean())
    assert row["student_accuracy"] == pytest.approx(accuracy)
    assert row["headroom"] == pytest.approx(1 - accuracy)


def test_a_teacher_of_other_classes_is_known_by_its_checkpoint(tmp_path: Path) -> None:
    record = {"validation": {"step": 5, "metrics": {"val/accuracy": 0.75}}}
    content = {
        "state_dict": {"model.scale": torch.ones(1)},
        "class_names": ["left", "right"],
        "global_step": 5,
        "callbacks": {"RunRecord": record},
    }
    torch.save(content, tmp_path / "teacher.ckpt")
    teacher = PretrainedModel(Net(turn=1, classes=2), tmp_path / "teacher.ckpt")
    [row] = analyzed(module(teacher), Data(batch_size=7), tmp_path)
    assert not row["teacher_knows_classes"]
    assert row["teacher_accuracy"] == 0.75
    # Its features tell all three.
    assert row["probe_accuracy"] > 0.9


class Maps(Net):
    def forward(self, x: Tensor) -> Output:
        output = super().forward(x)
        return output._replace(features=output.features[:, :, None, None])


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (UnimodalModule(Net(), "visual"), {}, "UnimodalModule has no teacher"),
        (DistillationModule(Net(), {}, FeatureLoss(), "visual"), {}, "teachers={}"),
        (module(), {"ckpt_path": "best"}, "ckpt_path='best'.*--student_checkpoint"),
        (module(), {"threshold": 1.5}, "threshold=1.5"),
        (module(), {"max_pairs": 0}, "max_pairs=0"),
        (module(), {"figures": ["tnse"]}, "figures='tnse'"),
        (module(), {"embedded_pairs": 0}, "embedded_pairs=0"),
        (module(), {"gradient_batches": 0}, "gradient_batches=0"),
        (module(), {"students": {" ": "a.ckpt"}}, "students names ' ', which is empty"),
        (module(), {"max_pairs": 4}, "have 4 pairs with a label"),
        (module(Maps()), {}, "audio teacher's features have shape .*no segmentation"),
    ],
)
def test_what_cannot_be_analyzed_is_refused(
    tmp_path: Path, model: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        analyzed(model, Data(batch_size=7), tmp_path, **arguments)
    assert not (tmp_path / "analysis").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"checkpoint='nowhere\.ckpt' is not a file"):
        analyzed(module(), Data(), tmp_path, student_checkpoint="nowhere.ckpt")


def test_a_missing_package_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match='pip install "umap-learn'):
        analyzed(module(), Data(), tmp_path, figures=["umap"], student_checkpoint="nowhere.ckpt")


@pytest.fixture
def demo(demo_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(demo_runs / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    return tmp_path / "runs/demo"


FORMATS = ("png", "svg", "csv")
QUIET = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--max_pairs=60")


def test_the_command_takes_the_configuration_of_fit_and_prints_three_sentences(
    demo: Path, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = "runs/demo/unimodal_visual/checkpoints/best.ckpt"
    before = {path for path in demo.rglob("*") if "analysis" not in path.parts}
    config = f"--config={DEMO / 'distill_visual.yaml'}"
    data = ["--data.train_size=100", "--data.labelled=20", "--data.audio_snr=null"]
    main(["analyze", config, f"--data.root={digits_root}", *data, *QUIET,
          f"--student_checkpoint={student}",
          "--students.FD-CMKD=runs/demo/distill_visual/checkpoints/best.ckpt",
          "--figures=[bands,confusion,cutoff]"])  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("The audio teacher's features predict ")
    assert said[1].startswith("Linear CKA is ")
    assert said[2].endswith("points of headroom.")
    folder = demo / "distill_visual/analysis"
    assert said[3].startswith("written to runs/demo/distill_visual/analysis: analysis.csv, ")
    assert said[4].startswith("left out: cutoff: no student's run logs train/threshold")
    assert len(said) == 5
    figures = {f"{x}.{kind}" for x in ("figure", "bands", "confusion") for kind in FORMATS}
    assert {path.name for path in folder.iterdir()} == {"analysis.csv", "analysis.json", *figures}
    assert {row.student for row in read_rows(folder / "confusion.csv", ConfusionRow)} == {
        "w/o KD",
        "FD-CMKD",
    }
    # Nothing else is written: no log, no checkpoint.
    assert {path for path in demo.rglob("*") if "analysis" not in path.parts} == before


def test_a_saved_configuration_can_be_analyzed_into_another_folder(
    demo: Path, digits_root: Path, tmp_path: Path
) -> None:
    config = next((demo / "distill_audio/logs").rglob("config.yaml"))
    folder = analyze(
        ["analyze", f"--config={config}", f"--data.root={digits_root}", *QUIET, "--folder=mine"]
    )
    assert folder == Path("mine")
    row = json.loads((tmp_path / "mine/analysis.json").read_text())["teachers"][0]
    assert (row["teacher"], row["student"], row["pairs"]) == ("visual", "audio", 60)


def test_an_error_has_at_most_five_lines(
    demo: Path, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = f"--config={DEMO / 'unimodal_visual.yaml'}"
    with pytest.raises(SystemExit):
        main(["analyze", config, f"--data.root={digits_root}", *QUIET])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: UnimodalModule has no teacher to analyze")
    assert len(lines) <= 5
