"""Did the teacher help segmentation? A study's table, and images as its students see them.

python examples/demo_segmentation.py                                 # drawn rooms, in minutes
python examples/demo_segmentation.py configs/study/indian_pines.yaml # another study
What follows goes to the study, such as --seeds=[0].
"""

import sys

import torch
import yaml
from jsonargparse import ArgumentParser
from lightning import LightningDataModule, LightningModule

import fdkd_lightning as fdkd
from fdkd_lightning.cli import main as fdkd_command
from fdkd_lightning.report import Segmented, plot_segmentations
from fdkd_lightning.study.plan import Study, read_study
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.tuning import finished, judged_runs

STUDY = "configs/study/rooms_demo.yaml"
SHOWN = ("w/o KD", "KD", "FD-CMKD", "FD-CMKD, channels", "CIRKDv2 + FD-CMKD")


def shown_runs(study: Study) -> list[Run]:
    """The finished runs of one column: its first direction, regime and seed."""
    wanted = next(iter(study.directions)), next(iter(study.regimes)), study.seeds[0]
    runs = [run for run, _ in finished(study, judged_runs(study))]
    return [r for r in runs if (r.direction, r.regime, r.seed) == wanted and r.method in SHOWN]


def model_and_data(study: Study, run: Run) -> tuple[torch.nn.Module, fdkd.MultimodalDataModule]:
    """The network after its last epoch, and its data module, as the run's configuration says."""
    folder = study.folder / "runs" / run.name
    config = yaml.safe_load((folder / "logs/version_0/config.yaml").read_text())
    parser = ArgumentParser()
    parser.add_argument("--model", type=LightningModule)
    parser.add_argument("--data", type=LightningDataModule)
    parsed = parser.parse_object({key: config[key] for key in ("model", "data")})
    made = parser.instantiate(parsed)
    student = made.model.model
    fdkd.PretrainedModel(student, folder / "checkpoints/last.ckpt").load()
    return student.eval(), made.data


def main(args: list[str]) -> None:
    path, *rest = args if args and args[0].endswith(".yaml") else (STUDY, *args)
    try:
        study = read_study(path, rest)
    except ValueError as error:
        sys.exit(str(error))
    status: int | str | None = 0
    try:
        fdkd_command(["study", path, *rest])
    except SystemExit as error:  # what has not failed is drawn, and the study's status is kept
        status = error.code
    runs = shown_runs(study)
    if not runs:
        sys.exit(status)
    modality = study.directions[next(iter(study.directions))].student
    students = {}
    for run in runs:
        students[run.method], data = model_and_data(study, run)
    data.setup("test")
    # The first images of the test split: chosen before anything was trained.
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    images, labels = batch[modality][:3], batch["label"][:3]
    with torch.no_grad():
        maps = {name: student(images).logits.argmax(1) for name, student in students.items()}
    rows = [
        Segmented(image, label, {name: classes[i] for name, classes in maps.items()})
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    plot_segmentations(study.folder / "scenes.png", rows, data.class_names)
    print(f"Figures: {study.folder / 'table.png'}, {study.folder / 'scenes.png'}")
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
