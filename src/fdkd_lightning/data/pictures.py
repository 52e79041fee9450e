"""Pictures and frames of whole batches: cropped, resized and normalised on the device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PictureTransform(nn.Module):
    r"""Pictures of one size, augmented in training, normalised channel by channel.

    .. math::
        y = \frac{\mathrm{resize}(x) - \mathrm{mean}}{\mathrm{std}}

    In training each picture gets a crop of its own, of random area and shape, and half of them are
    mirrored; otherwise the whole picture is squeezed into the square. This is torchvision's
    ``RandomResizedCrop`` and ``RandomHorizontalFlip``, and its ``Resize((size, size))``, bilinear
    with antialiasing as Pillow does it. torchvision's own draw once for a whole batch; here they
    are called picture by picture.

    Args:
        size: H and W of the output, pixels.
        scale: Least and greatest share of the picture's area that a crop covers.
        per_frame: Crop and mirror each frame of a clip by itself, as OGM-GE, C2KD, MMPareto and
            the reproduction of FD-CMKD do. Otherwise a clip's frames get the same crop.
        mean: Of each channel, where white is 1. The default is ImageNet's.
        std: Likewise.

    Shape:
        - pictures: [N, 3, H, W] or [N, T, 3, H, W], uint8 or floats from 0 to 1; or a list of
          [3, H, W] or [T, 3, H, W] with one T, which may differ in H and W
        - output: [N, 3, size, size] or [N, T, 3, size, size], float32

    Raises:
        ValueError: If the pictures have another shape or are integers of another size, ``size`` is
            below 1, or ``scale`` does not rise within 0 and 1.

    Example:
        >>> frames = torch.randint(256, (2, 3, 3, 60, 80), dtype=torch.uint8)
        >>> PictureTransform(size=32)(frames).shape
        torch.Size([2, 3, 3, 32, 32])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: int = 224,
        scale: tuple[float, float] = (0.08, 1.0),
        per_frame: bool = True,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size={size} must be at least 1")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(
                f"scale={scale} must be two shares, the lesser first, above 0, up to 1"
            )
        self.size = size
        self.per_frame = per_frame
        self.crop = v2.RandomResizedCrop((size, size), scale=scale)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor | Sequence[Tensor]) -> Tensor:
        """The pictures as the network takes them."""
        self._check(pictures)
        resized = self._augment(pictures) if self.training else self._resize(pictures)
        # Bytes stay bytes until here, rounded as Pillow rounds them.
        if resized.dtype == torch.uint8:
            resized = resized.float() / 255
        return (resized.float() - self.mean) / self.std

    def _resize(self, pictures: Tensor | Sequence[Tensor]) -> Tensor:
        if not isinstance(pictures, Tensor):
            return torch.stack([self._resize(clip) for clip in pictures])
        resized: Tensor = F.resize(pictures, [self.size, self.size], antialias=True)
        return resized

    def _augment(self, pictures: Tensor | Sequence[Tensor]) -> Tensor:
        cropped = torch.stack([self._crop(clip) for clip in pictures])
        # One draw per frame or clip, on the CPU: the same whatever the device.
        frames = cropped.shape[:-3] if self.per_frame else cropped.shape[:1]
        mirrored = torch.rand(frames) < 0.5
        mirrored = mirrored.view(*frames, *[1] * (cropped.ndim - len(frames)))
        return torch.where(mirrored.to(cropped.device), cropped.flip(-1), cropped)

    def _crop(self, clip: Tensor) -> Tensor:
        """One picture, or the frames of one clip."""
        if clip.ndim == 4 and self.per_frame:
            return torch.stack([self.crop(frame) for frame in clip])
        cropped: Tensor = self.crop(clip)
        return cropped

    def _check(self, pictures: Tensor | Sequence[Tensor]) -> None:
        for clip in pictures if not isinstance(pictures, Tensor) else pictures[:1]:
            if clip.ndim not in (3, 4) or clip.shape[-3] != 3:
                raise ValueError(
                    f"a sample's pictures have shape {list(clip.shape)}: give [3, H, W], or "
                    "[T, 3, H, W] for frames"
                )
            if clip.dtype != torch.uint8 and not clip.is_floating_point():
                raise ValueError(
                    f"pictures are {clip.dtype}: give torch.uint8, or floats from 0 to 1"
                )
