"""Networks that return :class:`~fdkd_lightning.types.Output`."""

from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.models.resnet import ResNet

__all__ = ["PretrainedModel", "ResNet"]
