"""Did the teacher help? A study of the embedded digits, and how alike the two modalities are."""

from collections.abc import Iterator

import torch

import fdkd_lightning as fdkd
from fdkd_lightning.analysis import band_similarity, collect_features, plot_similarity
from fdkd_lightning.cli import main as fdkd_command
from fdkd_lightning.study.plan import read_study, teacher_runs

STUDY = "configs/study/demo.yaml"


def test_batches(data: fdkd.AVDigits) -> Iterator[fdkd.Batch]:
    for batch in data.test_dataloader():
        yield data.on_after_batch_transfer(batch, 0)


def teacher_features(modality: str, data: fdkd.AVDigits) -> torch.Tensor:
    study = read_study(STUDY)
    run = teacher_runs(study)[modality, "all labels", 0]
    network = fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)
    teacher = fdkd.PretrainedModel(
        network, study.folder / "runs" / run.name / "checkpoints/best.ckpt"
    )
    teacher.load()
    return collect_features(teacher, test_batches(data), modality)


def main() -> None:
    fdkd_command(["study", STUDY])
    folder = read_study(STUDY).folder
    data = fdkd.AVDigits(eval_batch_size=250)
    data.setup("test")
    audio, visual = teacher_features("audio", data), teacher_features("visual", data)
    order = torch.randperm(audio.shape[1], generator=torch.Generator().manual_seed(0))
    similarities = {
        "with the mean (DC)": band_similarity(audio, visual, keep_dc=True),
        "without": band_similarity(audio, visual),
        "without, channels permuted": band_similarity(audio[:, order], visual[:, order]),
    }
    plot_similarity(folder / "similarity.png", similarities)
    print("Similarity of the teachers' features (low, high, whole):")
    for name, values in similarities.items():
        print(f"  {name}: {', '.join(f'{value:.2f}' for value in values)}")
    print(f"Pictures: {folder / 'table.png'}, {folder / 'similarity.png'}")


if __name__ == "__main__":
    main()
