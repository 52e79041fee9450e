"""A project that knows nothing of distillation is taught by sound, and its code stays as it is."""

from typing import Any

from lightning import Trainer, seed_everything
from torchgeo.trainers import ClassificationTask

import fdkd_lightning as fdkd

EPOCHS = 12


class Data(fdkd.AVDigits):
    """The project's batches of "image" and "label", to which sounds were added."""

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        return {**batch, "image": batch["visual"]}


def project() -> ClassificationTask:
    """The project's module, as its package ships it: timm's network, AdamW and a scheduler."""
    return ClassificationTask("test_resnet", in_channels=1, num_classes=10, lr=3e-3)


def fit_and_test(module: Any, data: Data, *callbacks: Any) -> Trainer:
    trainer = Trainer(
        max_epochs=EPOCHS, callbacks=[*callbacks], logger=False, enable_checkpointing=False
    )
    trainer.fit(module, data)
    trainer.test(module, data)
    return trainer


def main() -> None:
    data = Data(train_size=600)
    teacher = fdkd.ResNet(10, 1, (1, 1, 1, 1), channels=(8, 16, 32, 64), stem_pool=False)
    seed_everything(0)
    fit_and_test(fdkd.UnimodalModule(teacher, "audio", lr_scheduler=fdkd.PolyLR), data)

    seed_everything(0)
    alone = fit_and_test(project(), data).callback_metrics["test_OverallAccuracy"]

    seed_everything(0)
    features = fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), fdkd.SharedAlignmentHead())
    callback = fdkd.DistillationCallback(
        teachers={"audio": teacher},
        criterion=fdkd.CompositeLoss({"kd": fdkd.KDLoss(), "fdkd": features}),
        student_input="image",
        projector=fdkd.Projector(),
    )
    student = project()
    taught = fit_and_test(student, data, callback).callback_metrics["test_OverallAccuracy"]
    print(f"Test accuracy of the project's module: {alone:.1%}; taught by sound: {taught:.1%}")
    print("(One seed; a study tells what of it is luck.)")
    print("The module is its own again:", *(name for name, _ in student.named_children()))


if __name__ == "__main__":
    main()
