"""Did the teacher help segmentation? A study of drawn rooms, and one scene as each student sees it.

What follows goes to the study: python examples/demo_rooms.py --seeds=[0]
"""

import sys

import torch

import fdkd_lightning as fdkd
from fdkd_lightning.cli import main as fdkd_command
from fdkd_lightning.data import Rooms
from fdkd_lightning.models import SemanticFPN
from fdkd_lightning.report import Segmented, plot_segmentations
from fdkd_lightning.study.plan import Study, method_runs, read_study

STUDY = "configs/study/rooms_demo.yaml"
SHOWN = ("w/o KD", "FD-CMKD", "CIRKDv2 + FD-CMKD")


def students(study: Study) -> dict[str, fdkd.PretrainedModel]:
    """The students of the first seed, as they were after their last epoch."""
    found = {}
    for run in method_runs(study):
        if run.method in SHOWN and run.seed == study.seeds[0]:
            checkpoint = study.folder / "runs" / run.name / "checkpoints/last.ckpt"
            found[run.method] = fdkd.PretrainedModel(SemanticFPN(8, stem_pool=True), checkpoint)
            found[run.method].load()
    return found


def main(args: list[str]) -> None:
    fdkd_command(["study", STUDY, *args])
    study = read_study(STUDY, args)
    data = Rooms(batch_size=3, modalities=["visual"])
    data.setup("test")
    # The first scenes of the test split: chosen before anything was trained.
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    with torch.no_grad():
        networks = students(study)
        logits = {name: x.eval()(batch["visual"]).logits for name, x in networks.items()}
    rows = [
        Segmented(image, label, {name: x[i].argmax(0) for name, x in logits.items()})
        for i, (image, label) in enumerate(zip(batch["visual"], batch["label"], strict=True))
    ]
    plot_segmentations(study.folder / "scenes.png", rows, data.class_names)
    print(f"Figures: {study.folder / 'table.png'}, {study.folder / 'scenes.png'}")


if __name__ == "__main__":
    main(sys.argv[1:])
