"""Distil into another package's LightningModule, unchanged. How to do it; KD gains nothing here.

KD trains nothing beside the student, so the module alone is its teacher-free control: it has the
same initial weights, batches and number of steps. ``--full`` measures with three seeds.
"""

import sys
from functools import partial
from typing import Any

import torch
from lightning import Trainer, seed_everything
from torchgeo.trainers import ClassificationTask

import fdkd_lightning as fdkd
from fdkd_lightning.study.paired_difference import paired_difference

EPOCHS, SEEDS = (8, range(1, 4)) if "--full" in sys.argv else (1, [1])


class Data(fdkd.AVDigits):
    """The project's batches of "image" and "label", and the teacher's "audio" beside them."""

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        return {**batch, "image": batch["visual"]}


def accuracy(module: Any, data: Data, metric: str, *extra: Any) -> float:
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=EPOCHS, callbacks=[*extra], **quiet)
    trainer.fit(module, data)
    return float(trainer.test(module, data, verbose=False)[0][metric])


def student_accuracy(data: Data, seed: int, *callbacks: Any) -> float:
    seed_everything(seed, verbose=False)
    task = ClassificationTask("test_resnet", in_channels=1, num_classes=10, lr=3e-3)
    return accuracy(task, data, "test_OverallAccuracy", *callbacks)


def main() -> None:
    seed_everything(0, verbose=False)
    options: dict[str, Any] = {"eval_batch_size": 500, "image_noise": 0.3, "audio_snr": None}
    teacher = fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)
    sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    module = fdkd.UnimodalModule(teacher, "audio", optimizer=sgd, lr_scheduler=fdkd.PolyLR)
    heard = accuracy(module, Data(train_size=1000, **options), "test/accuracy")
    print(f"teacher, on sounds: {heard:.1%}")
    alone, taught = [], []
    for seed in SEEDS:
        data = Data(train_size=500, seed=seed, **options)
        kd = fdkd.DistillationCallback({"audio": teacher}, fdkd.KDLoss(), student_input="image")
        alone.append(student_accuracy(data, seed))
        taught.append(student_accuracy(data, seed, kd))
        print(f"seed {seed}: control {alone[-1]:.1%}, taught by sound {taught[-1]:.1%}")
    if len(taught) < 2:  # without --full: one seed has no interval
        return
    gain = paired_difference(taught, alone)
    verdict = {1: "a significant gain", 0: "this shows no gain", -1: "a significant loss"}
    print(f"{gain.mean:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}]: {verdict[gain.sign]}")


if __name__ == "__main__":
    main()
