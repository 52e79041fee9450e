"""Did the teacher help segmentation? A study of drawn rooms, and scenes as the students see them.

python examples/demo_rooms.py                            # a short study
python examples/demo_rooms.py configs/study/rooms.yaml   # another one
What follows goes to the study, such as --seeds=[0].
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
SHOWN = ("w/o KD", "FD-CMKD", "FD-CMKD, channels", "CIRKDv2 + FD-CMKD")
CHANNELS = {"visual": 3, "depth": 1}


def students(study: Study, direction: str) -> dict[str, fdkd.PretrainedModel]:
    """The students of the first regime and seed, as they were after their last epoch."""
    found = {}
    wanted = direction, next(iter(study.regimes)), study.seeds[0]
    channels = CHANNELS[study.directions[direction].student]
    for run in method_runs(study):
        if (run.direction, run.regime, run.seed) == wanted and run.method in SHOWN:
            checkpoint = study.folder / "runs" / run.name / "checkpoints/last.ckpt"
            network = SemanticFPN(8, in_chans=channels, stem_pool=True)
            found[run.method] = fdkd.PretrainedModel(network, checkpoint)
            found[run.method].load()
    return found


def main(args: list[str]) -> None:
    path, *rest = args if args and args[0].endswith(".yaml") else (STUDY, *args)
    fdkd_command(["study", path, *rest])
    study = read_study(path, rest)
    direction = next(iter(study.directions))
    modality = study.directions[direction].student
    data = Rooms(batch_size=3, modalities=[modality])
    data.setup("test")
    # The first scenes of the test split: chosen before anything was trained.
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    with torch.no_grad():
        networks = students(study, direction)
        logits = {name: x.eval()(batch[modality]).logits for name, x in networks.items()}
    rows = [
        Segmented(image, label, {name: x[i].argmax(0) for name, x in logits.items()})
        for i, (image, label) in enumerate(zip(batch[modality], batch["label"], strict=True))
    ]
    plot_segmentations(study.folder / "scenes.png", rows, data.class_names)
    print(f"Figures: {study.folder / 'table.png'}, {study.folder / 'scenes.png'}")


if __name__ == "__main__":
    main(sys.argv[1:])
