"""Spoken digits teach a network to read handwritten ones, of which few have a label."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning import Trainer, seed_everything

import fdkd_lightning as fdkd


def network() -> fdkd.ResNet:
    return fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)


def sgd(parameters: Iterable[Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def train_and_test(module: fdkd.UnimodalModule, data: fdkd.AVDigits) -> float:
    trainer = Trainer(max_epochs=6, default_root_dir="runs/quickstart", logger=False)
    trainer.fit(module, data)
    return trainer.test(module, data)[0]["test/accuracy"]


def main() -> None:
    seed_everything(0)
    # 1,000 pairs, of which 250 have a label for the student; without a teacher it needs no sounds.
    pairs: dict[str, Any] = {"train_size": 1000, "eval_batch_size": 500}
    data = fdkd.AVDigits(labelled=250, **pairs)
    teacher = network()
    heard = train_and_test(
        fdkd.UnimodalModule(teacher, "audio", optimizer=sgd, lr_scheduler=fdkd.PolyLR),
        fdkd.AVDigits(modalities=["audio"], **pairs),
    )
    alone = train_and_test(
        fdkd.UnimodalModule(network(), "visual", optimizer=sgd, lr_scheduler=fdkd.PolyLR),
        fdkd.AVDigits(labelled=250, modalities=["visual"], **pairs),
    )
    student = fdkd.DistillationModule(
        network(),
        teachers={"audio": teacher},
        criterion=fdkd.FDKDLoss(
            fdkd.FrequencyDecoupler(0.5),
            fdkd.SharedAlignmentHead(),
            channel_reduction=fdkd.SumOverChannels(),
        ),
        student_modality="visual",
        optimizer=sgd,
        lr_scheduler=fdkd.PolyLR,
    )
    taught = train_and_test(student, data)
    print(f"Test accuracy of the teacher, on sounds: {heard:.1%}")
    print(f"... of the student, on pictures: w/o KD {alone:.1%}, FD-CMKD {taught:.1%}")


if __name__ == "__main__":
    main()
