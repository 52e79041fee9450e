"""ResNets for images and spectrograms."""

from collections.abc import Sequence
from typing import Any, get_args

import torch
from timm.models.resnet import BasicBlock, ResNet as TimmResNet
from torch import Tensor, nn

from fdkd_lightning.models.frame_folding import Frames, average_frames, fold_frames
from fdkd_lightning.ops.checks import check_choice, check_count, check_flags
from fdkd_lightning.types import Output


class ResNet(nn.Module):
    """A timm ResNet of basic blocks whose features are taken before the last ReLU.

    As in the published code of FD-CMKD, the features are the last residual sum before its ReLU,
    averaged over space. The classifier and losses on maps get the values after the ReLU.

    A clip of frames becomes one sample in one of two ways. ``"average"`` runs each frame, and
    averages over frames and space before the classifier. Each map is the mean of the frames' maps:
    the mean of a channel is exact, and a position is that of the mean frame. ``"stack"`` treats the
    frames as channels of one image.

    Args:
        num_classes: Number of classes K.
        in_chans: Channels of the input: 3 for images, 1 for spectrograms, 3 T for T stacked frames.
        layers: Blocks per stage; (2, 2, 2, 2) is ResNet-18, (1, 1, 1, 1) ResNet-10.
        channels: Channels per stage; the last is D.
        stem_pool: Max-pool after the first convolution; switch it off for inputs of about 32
            pixels.
        frames: ``"average"``, as in FD-CMKD's published code and in C2KD's for VGGSound, or
            ``"stack"``, as in C2KD's for CREMA-D and AVE.

    Shape:
        - x: images [N, in_chans, H, W], or frames: [N, T, in_chans, H, W] with ``"average"``,
          [N, T, in_chans / T, H, W] with ``"stack"``
        - features: [N, D]
        - logits: [N, K]
        - maps: one per stage, [N, channels[i], H', W'], each after its ReLU

    Raises:
        TypeError: If a number is no whole number.
        ValueError: If ``frames`` is unknown, a number is below 1, or ``layers`` or ``channels``
            have another length than 4; by a forward pass, if the input's channels are not
            ``in_chans``.

    Reference:
        timm.models.resnet; ``zxn0710/re-FD-CMKD-main`` (features before the last ReLU);
        ``huofushuo/C2KD`` (stacked frames).

    Example:
        >>> output = ResNet(10, in_chans=1, channels=(8, 8, 16, 16))(torch.randn(2, 1, 32, 32))
        >>> output.features.shape, output.logits.shape
        (torch.Size([2, 16]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int = 3,
        layers: tuple[int, int, int, int] = (2, 2, 2, 2),
        channels: tuple[int, int, int, int] = (64, 128, 256, 512),
        stem_pool: bool = True,
        frames: Frames = "average",
    ) -> None:
        super().__init__()
        check_choice("frames", frames, get_args(Frames))
        check_count("num_classes", num_classes, example=10)
        check_count("in_chans", in_chans, example=3)
        check_flags(stem_pool=stem_pool)
        for name, values in (("layers", layers), ("channels", channels)):
            if not isinstance(values, Sequence) or len(values) != 4:
                raise ValueError(f"{name}={values!r} must have 4 entries, one per stage")
            for value in values:
                check_count(name, value)
        block: Any = BasicBlock  # timm's annotation asks for an instance
        net: nn.Module = TimmResNet(
            block, layers, num_classes=num_classes, in_chans=in_chans, channels=channels
        )
        if not stem_pool:
            net.maxpool = nn.Identity()
        net.get_submodule(f"layer4.{layers[3] - 1}").act2 = nn.Identity()
        self.net: Any = net
        self.in_chans = in_chans
        self.frames = frames

    def forward(self, x: Tensor) -> Output:
        """Return features, logits and the maps of the four stages."""
        net = self.net
        x, parts = fold_frames(x, self.frames, self.in_chans)
        x = net.maxpool(net.act1(net.bn1(net.conv1(x))))
        maps = []
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = stage(x)
            maps.append(x)
        maps[-1] = torch.relu(x)
        # The ReLU is applied to each frame, before the mean over frames.
        features, pooled = (
            average_frames(net.global_pool(stage), parts) for stage in (x, maps[-1])
        )
        averaged = tuple(average_frames(stage, parts) for stage in maps)
        return Output(features, net.fc(pooled), averaged)
