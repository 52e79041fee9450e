from .deeplab import DeepLabV3Plus as DeepLabV3Plus
from .feature_model import FeatureModel as FeatureModel
from .layers import Layers as Layers
from .ngram_net import NgramNet as NgramNet
from .pretrained import PretrainedModel as PretrainedModel
from .resnet import ResNet as ResNet
from .timm_model import TimmModel as TimmModel
from .transformers_model import TransformersModel as TransformersModel
