"""Distil into a LightningModule of another package, whose code stays unchanged; is there a gain?

KD trains nothing beside the student, so the module alone is its teacher-free control: it has the
same initial weights, batches and number of steps. One teacher, several seeds of the student.
"""

from typing import Any

from lightning import Trainer, seed_everything
from torchgeo.trainers import ClassificationTask

import fdkd_lightning as fdkd
from fdkd_lightning.study.compare import paired_difference

SEEDS = range(1, 5)


class Data(fdkd.AVDigits):
    """The project's batches of "image" and "label", and the teacher's "audio" beside them."""

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        return {**batch, "image": batch["visual"]}


def pairs(size: int, seed: int) -> Data:
    return Data(train_size=size, seed=seed, eval_batch_size=500, image_noise=0.3, audio_snr=None)


def trained(module: Any, data: Data, epochs: int, *callbacks: Any) -> Trainer:
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[*callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return trainer


def student_accuracy(data: Data, seed: int, *callbacks: Any) -> float:
    seed_everything(seed, verbose=False)
    task = ClassificationTask("test_resnet", in_channels=1, num_classes=10, lr=3e-3)
    trainer = trained(task, data, 8, *callbacks)
    return float(trainer.test(task, data, verbose=False)[0]["test_OverallAccuracy"])


def main() -> None:
    seed_everything(0, verbose=False)
    teacher = fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)
    trained(fdkd.UnimodalModule(teacher, "audio", lr_scheduler=fdkd.PolyLR), pairs(1000, 0), 8)
    alone, taught = [], []
    for seed in SEEDS:
        data = pairs(500, seed)
        kd = fdkd.DistillationCallback({"audio": teacher}, fdkd.KDLoss(), student_input="image")
        alone.append(student_accuracy(data, seed))
        taught.append(student_accuracy(data, seed, kd))
        print(f"seed {seed}: control {alone[-1]:.1%}, taught by sound {taught[-1]:.1%}")
    gain = paired_difference(taught, alone)
    verdict = {1: "a significant gain", 0: "no significant gain", -1: "a significant loss"}
    print(f"{gain.mean:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}]: {verdict[gain.sign]}")


if __name__ == "__main__":
    main()
