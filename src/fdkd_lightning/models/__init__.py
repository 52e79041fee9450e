"""Networks that return :class:`~fdkd_lightning.types.Output`."""

from fdkd_lightning.models.deeplab import DeepLabV3Plus
from fdkd_lightning.models.feature_model import FeatureModel
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.models.text import NgramNet
from fdkd_lightning.models.timm_model import TimmModel
from fdkd_lightning.models.transformers_model import TransformersModel

__all__ = [
    "DeepLabV3Plus",
    "FeatureModel",
    "Layers",
    "NgramNet",
    "PretrainedModel",
    "ResNet",
    "TimmModel",
    "TransformersModel",
]
