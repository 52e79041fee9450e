"""A method of your own: a class, five lines. It is also a row of examples/study/study.yaml."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning import Trainer, seed_everything
from torch import Tensor

import fdkd_lightning as fdkd


class TotalVariationLoss(fdkd.DistillationLoss):
    """Half the L1 distance of the two predictions. A loss sees two outputs and the target."""

    def forward(
        self, student: fdkd.Output, teacher: fdkd.Output | None, target: Tensor
    ) -> dict[str, Tensor]:
        teacher = fdkd.require_teacher(self, teacher)
        difference = student.logits.softmax(1) - teacher.logits.softmax(1)
        return {"variation": difference.abs().sum(1).mean() / 2}


def network() -> fdkd.ResNet:
    return fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)


def sgd(parameters: Iterable[Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def digits(labelled: int, *modalities: str) -> fdkd.AVDigits:
    options: dict[str, Any] = {"image_noise": 0.25, "audio_snr": 10, "eval_batch_size": 500}
    return fdkd.AVDigits(modalities=modalities, train_size=600, labelled=labelled, **options)


def train_and_test(module: fdkd.UnimodalModule, data: fdkd.AVDigits) -> float:
    trainer = Trainer(max_epochs=5, default_root_dir="runs/custom_loss", logger=False)
    trainer.fit(module, data)
    return trainer.test(module, data)[0]["test/accuracy"]


def main() -> None:
    seed_everything(0)
    teacher = network()
    train_and_test(fdkd.UnimodalModule(teacher, "audio", optimizer=sgd), digits(600, "audio"))
    # 600 pairs, of which 100 have a label.
    alone = train_and_test(
        fdkd.UnimodalModule(network(), "visual", optimizer=sgd), digits(100, "visual")
    )
    student = fdkd.DistillationModule(
        network(), {"audio": teacher}, TotalVariationLoss(), "visual", optimizer=sgd
    )
    taught = train_and_test(student, digits(100, "audio", "visual"))
    print(f"Test accuracy on pictures: w/o KD {alone:.1%}, total variation {taught:.1%}")


if __name__ == "__main__":
    main()
