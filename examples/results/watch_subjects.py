"""Accuracy of each test person, from the students of a study of the watch.

Usage: python examples/results/watch_subjects.py watch --folder=runs/study/watch
Also watch_labels and watch_all_labels. Writes subjects.csv and subjects.md into the study's folder:
mean over the seeds.
"""

import csv
import sys
from collections import defaultdict
from statistics import mean

import torch

import fdkd_lightning as fdkd
from fdkd_lightning.data import WatchDataset
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.study.plan import read_study
from fdkd_lightning.study.tuning import judged_runs

# Study -> the exercises of its students; None: all.
STUDIES: dict[str, list[str] | None] = {
    "watch": ["external rotation", "trapezius extension", "upright row"],
    "watch_labels": None,
    "watch_all_labels": None,
}


def main(args: list[str]) -> None:
    if not args or args[0] not in STUDIES:
        sys.exit(f"name a study first: {', '.join(STUDIES)}")
    study, classes = read_study(f"configs/study/{args[0]}.yaml", args[1:]), STUDIES[args[0]]
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    data: dict[int, fdkd.Watch] = {}
    for run in judged_runs(study):
        if run.seed not in data:  # the training people give mean and scale
            data[run.seed] = fdkd.Watch(seed=run.seed, classes=classes)
            data[run.seed].setup("test")
        dataset = data[run.seed].datasets["test"]
        assert isinstance(dataset, WatchDataset)
        batch = torch.utils.data.default_collate([dataset[i] for i in range(len(dataset))])
        checkpoint = study.folder / "runs" / run.name / "checkpoints/last.ckpt"
        student = fdkd.PretrainedModel(fdkd.ConvNet1d(len(data[run.seed].class_names)), checkpoint)
        student.load()
        with torch.no_grad():
            logits = student.eval()(batch[study.directions[run.direction].student]).logits
        right = (logits.argmax(1) == batch["label"]).double()
        for subject in sorted({*dataset.subject.tolist()}):
            whose = torch.from_numpy(dataset.subject == subject)
            found[run.direction, run.method, subject].append(right[whose].mean().item())
    people = sorted({subject for _, _, subject in found})
    with atomic_write(study.folder / "subjects.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["direction", "method", "subject", "n", "mean_accuracy"])
        table.writerows([*key, len(values), mean(values)] for key, values in found.items())
    lines = ["Test accuracy of each person in %, mean over the seeds."]
    for direction in study.directions:
        lines += ["", f"### {direction}", "", f"| method | {' | '.join(map(str, people))} |"]
        lines.append(f"|---|{'---|' * len(people)}")
        for method in study.methods:
            scores = (f"{100 * mean(found[direction, method, person]):.1f}" for person in people)
            lines.append(f"| {method} | {' | '.join(scores)} |")
    with atomic_write(study.folder / "subjects.md", "w") as file:
        file.write("\n".join([*lines, ""]))
    print(*lines, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
