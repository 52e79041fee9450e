"""Networks that return :class:`~fdkd_lightning.types.Output`."""

from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.models.text import NgramNet

__all__ = ["NgramNet", "PretrainedModel", "ResNet"]
