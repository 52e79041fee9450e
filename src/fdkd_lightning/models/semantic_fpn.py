"""A small feature pyramid network for semantic segmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import Output


class SemanticFPN(nn.Module):
    """A ResNet with torchvision's feature pyramid, normalised, and a classifier of each position.

    The features are the sum of all levels of the pyramid, interpolated to the finest, after a ReLU:
    at half of the input's size, or a quarter with ``stem_pool``, rounded up. The classifier's
    scores are interpolated to the input's size, which may be any. It is meant for small images,
    which segmentation libraries refuse or pad to multiples of 32.

    Args:
        num_classes: Number of classes K.
        in_chans: Channels of the input: 3 for images, 1 for depth.
        layers: Blocks per stage of the ResNet.
        channels: Channels per stage.
        width: Channels of the pyramid, D.
        stem_pool: Max-pool after the first convolution.

    Shape:
        - x: [N, in_chans, H, W]
        - features: [N, D, H/2, W/2]
        - logits: [N, K, H, W]
        - maps: one per stage of the ResNet, [N, channels[i], H', W']

    Raises:
        TypeError: If a number is no whole number.
        ValueError: If a number is below 1, ``layers`` or ``channels`` have another length than 4;
            by a forward pass, if the input's channels are not ``in_chans``.

    Reference:
        Lin et al., "Feature Pyramid Networks for Object Detection" (arXiv:1612.03144);
        Kirillov et al., "Panoptic Feature Pyramid Networks" (arXiv:1901.02446), whose semantic
        branch convolves each level again before the sum; torchvision.ops.FeaturePyramidNetwork.

    Example:
        >>> output = SemanticFPN(8, in_chans=1)(torch.randn(2, 1, 47, 63))
        >>> output.features.shape, output.logits.shape
        (torch.Size([2, 64, 24, 32]), torch.Size([2, 8, 47, 63]))
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int = 3,
        layers: tuple[int, int, int, int] = (1, 1, 1, 1),
        channels: tuple[int, int, int, int] = (16, 32, 64, 128),
        width: int = 64,
        stem_pool: bool = False,
    ) -> None:
        super().__init__()
        check_count("num_classes", num_classes, example=8)
        check_count("width", width, example=64)
        self.encoder = ResNet(1, in_chans, layers, channels, stem_pool)
        # The pyramid takes the place of the classifier.
        self.encoder.net.reset_classifier(0)
        # Without a norm the sum of the levels grows, and training with few labels diverges.
        self.pyramid = FeaturePyramidNetwork([*channels], width, norm_layer=nn.BatchNorm2d)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Output:
        """Return features, logits and the maps of the ResNet's stages."""
        maps = self.encoder(x).maps
        levels = self.pyramid({str(k): stage for k, stage in enumerate(maps)})
        size = maps[0].shape[-2:]
        # Every level takes part: DDP refuses parameters without a gradient.
        resized = [F.interpolate(level, size=size, mode="bilinear") for level in levels.values()]
        features = F.relu(torch.stack(resized).sum(0))
        logits = F.interpolate(self.classifier(features), size=x.shape[-2:], mode="bilinear")
        return Output(features, logits, maps)
