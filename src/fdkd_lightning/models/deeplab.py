"""DeepLabV3+ for semantic segmentation."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.models.pretrained import FETCH_ONCE, DeferredModel
from fdkd_lightning.models.weight_checks import check_weights
from fdkd_lightning.ops.checks import check_count, check_flags
from fdkd_lightning.ops.optional import require
from fdkd_lightning.types import Output


class DeepLabV3Plus(DeferredModel):
    """The DeepLabV3+ of segmentation_models_pytorch, with output stride 16.

    The features are the input of the classifier: the decoder's output after its ReLU, at a quarter
    of the input's size. Images whose sides are not multiples of 16 are padded with zeros at the
    bottom and right; the logits have the input's size.

    Args:
        num_classes: Number of classes K.
        encoder: Name of an encoder that supports dilation, such as resnet18, resnet50, resnet101 or
            mobilenet_v2; the prefix ``tu-`` selects an encoder of timm.
        in_chans: Channels of the input: 3 for images, 1 for depth.
        pretrained: Let :meth:`load` read ImageNet weights for the encoder. For other than three
            channels, the weights of its first layer are adapted.

    Shape:
        - x: [N, in_chans, H, W]
        - features: [N, 256, H/4, W/4], rounded up
        - logits: [N, K, H, W]
        - maps: one per stage of the encoder, from a quarter of the input's size on, [N, C, H', W']

    Raises:
        TypeError: If a number is no whole number.
        ValueError: If the encoder is unknown or cannot be dilated, or a number is below 1.
        ImportError: If segmentation_models_pytorch is missing: the extra ``segmentation``.
        RuntimeError: By :meth:`load`, if the ImageNet weights cannot be read.

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
        check_count("num_classes", num_classes, example=13)
        check_count("in_chans", in_chans, example=3)
        check_flags(pretrained=pretrained)
        if not isinstance(encoder, str):
            raise TypeError(f"encoder={encoder!r} must be a name, such as 'resnet18'")
        smp = _smp()
        try:
            self.net: Any = smp.DeepLabV3Plus(
                encoder, encoder_weights=None, in_channels=in_chans, classes=num_classes
            )
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"encoder={encoder!r} cannot be the encoder of a DeepLabV3+ ({error}): choose "
                "another, such as resnet18"
            ) from error
        self.encoder = encoder
        self.in_chans = in_chans
        self.pretrained = pretrained

    def load(self) -> None:
        """Read the encoder's ImageNet weights from the hub or its cache, if ``pretrained``."""
        if not self.pretrained:
            return
        encoder, smp = self.net.encoder, _smp()
        source = f"ImageNet's weights of encoder={self.encoder!r}"
        weights = True if self.encoder.startswith("tu-") else "imagenet"
        try:
            # Creating the encoder consumes random numbers.
            with torch.random.fork_rng(devices=[]):
                fetched = smp.encoders.get_encoder(
                    self.encoder,
                    self.in_chans,
                    weights=weights,
                    output_stride=encoder.output_stride,
                )
        except Exception as error:  # of the hub or smp's own
            raise RuntimeError(f"{source} cannot be read ({error}): {FETCH_ONCE}") from error
        check_weights(source, fetched.state_dict(), encoder.state_dict())
        encoder.load_state_dict(fetched.state_dict())

    def self_contained(self) -> dict[str, Any]:
        """Do not read the published weights."""
        return {"pretrained": False}

    @classmethod
    def looked_up_by(cls, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """Names with a colon, such as ``hf-hub:owner/name``, are looked up by timm."""
        return ("encoder", "timm") if ":" in str(arguments.get("encoder")) else None

    def forward(self, x: Tensor) -> Output:
        """Return features, logits and the maps of the encoder's stages."""
        height, width = x.shape[-2:]
        stride = self.net.encoder.output_stride
        x = F.pad(x, (0, -width % stride, 0, -height % stride))
        stages = self.net.encoder(x)
        features = self.net.decoder(stages)
        logits = self.net.segmentation_head(features)[..., :height, :width]
        # Drop the rows and columns that lie entirely in the padding.
        features = features[..., : -(-height // 4), : -(-width // 4)]
        return Output(features, logits, tuple(stages[2:]))


def _smp() -> Any:
    return require(
        "segmentation_models_pytorch", extra="segmentation", purpose=DeepLabV3Plus.__name__
    )
