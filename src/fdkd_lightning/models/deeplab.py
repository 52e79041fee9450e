"""DeepLabV3+: a class for each pixel."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.models.pretrained import DeferredModel
from fdkd_lightning.ops.optional import require
from fdkd_lightning.types import Output


class DeepLabV3Plus(DeferredModel):
    """The DeepLabV3+ of segmentation_models_pytorch, with output stride 16.

    The features are what the last classifier sees: encoder and decoder met, after their ReLU, at a
    quarter of the input's size. Pictures whose sides are no multiple of 16 are filled up with 0 at
    the bottom and right; the logits have the input's own size again.

    Args:
        num_classes: K.
        encoder: Name of an encoder that can be dilated, such as resnet18, resnet50, resnet101 or
            mobilenet_v2; ``tu-`` before it takes one of timm.
        in_chans: Channels of the input: 3 for pictures, 1 for depth.
        pretrained: Start the encoder from ImageNet's weights. They are fetched when fit begins, not
            here; with another number of channels the first layer is made from that of three.

    Shape:
        - x: [N, in_chans, H, W]
        - features: [N, 256, H/4, W/4], rounded up
        - logits: [N, K, H, W]
        - maps: one per stage of the encoder from a quarter of the size on, [N, C, H', W']

    Raises:
        ValueError: If there is no such encoder.
        ImportError: If segmentation_models_pytorch is not installed: the extra ``segmentation``.
        RuntimeError: By :meth:`load`, if ImageNet's weights cannot be had.

    Reference:
        Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
        Segmentation" (arXiv:1802.02611); segmentation_models_pytorch decoders/deeplabv3.

    Example:
        >>> output = DeepLabV3Plus(13, in_chans=1).eval()(torch.randn(1, 1, 50, 64))
        >>> output.logits.shape, output.features.shape
        (torch.Size([1, 13, 50, 64]), torch.Size([1, 256, 13, 16]))
    """

    def __init__(
        self,
        num_classes: int,
        encoder: str = "resnet18",
        in_chans: int = 3,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        smp = _smp()
        try:
            self.net: Any = smp.DeepLabV3Plus(
                encoder, encoder_weights=None, in_channels=in_chans, classes=num_classes
            )
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"encoder={encoder!r} is none that DeepLabV3+ can be built on, such as resnet18: "
                f"{error}"
            ) from error
        self.encoder = encoder
        self.in_chans = in_chans
        self.pretrained = pretrained

    def load(self) -> None:
        """Fetch the encoder's weights from the Hugging Face hub, or its cache."""
        if not self.pretrained:
            return
        own, smp = self.net.encoder, _smp()
        weights = True if self.encoder.startswith("tu-") else "imagenet"
        try:
            # It is drawn before it is read, which is not to move what comes after it.
            with torch.random.fork_rng(devices=[]):
                fetched = smp.encoders.get_encoder(
                    self.encoder, self.in_chans, weights=weights, output_stride=own.output_stride
                )
        except Exception as error:  # of the hub or smp's own
            raise RuntimeError(
                f"ImageNet's weights of encoder={self.encoder!r} cannot be read ({error}): run "
                "where the hub can be reached, once, and they are kept in its cache (HF_HOME); or "
                "set pretrained: false; or give a checkpoint of your own through PretrainedModel"
            ) from error
        own.load_state_dict(fetched.state_dict())

    def self_contained(self) -> dict[str, Any]:
        """Without the published weights."""
        return {"pretrained": False}

    def forward(self, x: Tensor) -> Output:
        """Features, logits and the maps of the encoder's stages."""
        height, width = x.shape[-2:]
        stride = self.net.encoder.output_stride
        x = F.pad(x, (0, -width % stride, 0, -height % stride))
        stages = self.net.encoder(x)
        features = self.net.decoder(stages)
        logits = self.net.segmentation_head(features)[..., :height, :width]
        # What is beyond the picture is left out where a whole row or column of it is.
        features = features[..., : -(-height // 4), : -(-width // 4)]
        return Output(features, logits, tuple(stages[2:]))


def _smp() -> Any:
    return require(
        "segmentation_models_pytorch", extra="segmentation", purpose=DeepLabV3Plus.__name__
    )
