"""Depth teaches torchvision's RetinaNet on colour images, in a LightningModule that stays as it is.

The levels of the feature pyramid are compared position by position, since both images are of one
camera. The criterion trains no classifier, so the module alone is the teacher-free control; the
other control pairs each image with the depth of another. ``--full`` measures, in a quarter of an
hour; without it, this shows in seconds how it is done.
"""

import sys
from functools import partial
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import nn
from torchmetrics.detection import MeanAveragePrecision
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.ops import Conv2dNormActivation

import fdkd_lightning as fdkd
from fdkd_lightning.study.paired_difference import transfer_lines


class Detection(LightningModule):
    """A project's module, which knows nothing of distillation."""

    def __init__(self, modality: str, channels: int) -> None:
        super().__init__()
        self.modality = modality
        width = [channels, 16, 32, 64, 96]
        stages = [Conv2dNormActivation(*width[i : i + 2], stride=2) for i in range(4)]
        levels = {"1": "0", "2": "1", "3": "2"}
        pyramid = BackboneWithFPN(nn.Sequential(*stages), levels, width[2:], 32)
        anchors = AnchorGenerator(((8, 11), (16, 22), (32, 44), (64, 88)), ((0.5, 1.0, 2.0),) * 4)
        head = RetinaNetHead(32, 6, 6, norm_layer=partial(nn.GroupNorm, 8))
        kept = {"image_mean": [0.0] * channels, "image_std": [1.0] * channels, "size_divisible": 16}
        self.net = RetinaNet(pyramid, 6, 48, 64, anchor_generator=anchors, head=head, **kept)
        self.score = MeanAveragePrecision()
        self.score.warn_on_many_detections = False

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        targets = fdkd.data.Rooms.detection_targets(batch["boxes"])
        return sum(self.net([*batch[self.modality]], targets).values())

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        targets = fdkd.data.Rooms.detection_targets(batch["boxes"])
        self.score.update(self.net([*batch[self.modality]]), targets)

    def on_test_epoch_end(self) -> None:
        self.log("mAP", self.score.compute()["map"])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=2e-3)
        return [optimizer], [fdkd.PolyLR(optimizer, self.trainer.max_epochs)]


def mean_precision(module: Detection, data: Any, epochs: int, *callbacks: Any) -> float:
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False}
    options |= {"enable_checkpointing": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=epochs, callbacks=[*callbacks], **options)
    trainer.fit(module, data)
    return trainer.test(module, data, verbose=False)[0]["mAP"]


def main(full: bool) -> None:
    options: dict[str, Any] = {"boxes": True, "batch_size": 8}
    options |= {} if full else {"scenes": (48, 1, 32)}
    epochs = 10 if full else 1
    seed_everything(0, verbose=False)
    depth = Detection("depth", 1)
    found = mean_precision(depth, fdkd.data.Rooms(**options), 2 * epochs)
    print(f"teacher, on depth: mAP {found:.1%}")
    level = "backbone.fpn.layer_blocks"
    layers = fdkd.Layers(f"{level}.0", logits=False, maps=[f"{level}.*"])  # strides 4, 8, 16
    teacher = fdkd.FeatureModel(depth.net, layers)
    student = fdkd.Layers(f"net.{level}.0", logits=False, maps=[f"net.{level}.*"])
    scores: dict[str, list[float]] = {"alone": [], "other scenes' depth": [], "depth": []}
    for seed in range(1, 4 if full else 2):
        for arm, of_arm in scores.items():
            sums = fdkd.SumOverChannels()
            bands = fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), channel_reduction=sums)
            loss: Any = fdkd.LayerwiseLoss(bands, stages=[0, 1, 2], positions="resize")
            loss = fdkd.ShuffledPairs(loss) if "other" in arm else loss
            kd = fdkd.DistillationCallback({"depth": teacher}, loss, student, target=None)
            seed_everything(seed, verbose=False)
            module, data = Detection("visual", 3), fdkd.data.Rooms(seed=seed, **options)
            of_arm.append(mean_precision(module, data, epochs, *([] if arm == "alone" else [kd])))
        print(f"seed {seed}:", ", ".join(f"{arm} {x[-1]:.1%}" for arm, x in scores.items()))
    for line in transfer_lines(scores, "depth"):
        print(line)


if __name__ == "__main__":
    main("--full" in sys.argv)
