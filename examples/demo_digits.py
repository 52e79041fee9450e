"""Did the teacher help? A study of the embedded digits, and how alike the two modalities are.

What follows goes to the study: python examples/demo_digits.py --config=configs/study/published.yaml
"""

import sys
from collections.abc import Iterator

import torch

import fdkd_lightning as fdkd
from fdkd_lightning.analysis import band_similarity, collect_features
from fdkd_lightning.cli import main as fdkd_command
from fdkd_lightning.report import plot_similarity
from fdkd_lightning.study.plan import Study, read_study, teacher_runs

STUDY = "configs/study/digits.yaml"


def test_batches(data: fdkd.AVDigits) -> Iterator[fdkd.Batch]:
    for batch in data.test_dataloader():
        yield data.on_after_batch_transfer(batch, 0)


def teacher_features(study: Study, modality: str, data: fdkd.AVDigits) -> torch.Tensor:
    run = teacher_runs(study)[modality, "all labels", 0]
    network = fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)
    folder = study.folder / "runs" / run.name
    teacher = fdkd.PretrainedModel(network, folder / "checkpoints/best.ckpt")
    teacher.load()
    return collect_features(teacher, test_batches(data), modality)


def main(args: list[str]) -> None:
    fdkd_command(["study", STUDY, *args])
    study = read_study(STUDY, args)
    data = fdkd.AVDigits(eval_batch_size=250)
    data.setup("test")
    audio, visual = (teacher_features(study, modality, data) for modality in ("audio", "visual"))
    order = torch.randperm(audio.shape[1], generator=torch.Generator().manual_seed(0))
    similarities = {
        "with the mean (DC)": band_similarity(audio, visual, keep_dc=True),
        "without": band_similarity(audio, visual),
        "without, channels permuted": band_similarity(audio[:, order], visual[:, order]),
    }
    plot_similarity(study.folder / "similarity.png", similarities)
    print("Mean cosine of the teachers' features, audio and visual (low band, high band, whole):")
    for name, values in similarities.items():
        print(f"  {name}: {', '.join(f'{value:.2f}' for value in values)}")
    print(f"Figures: {study.folder / 'table.png'}, {study.folder / 'similarity.png'}")


if __name__ == "__main__":
    main(sys.argv[1:])
