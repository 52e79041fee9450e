"""Recipe of images of a scene, for dense prediction."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from fdkd_lightning.data.preparation.display import WHITE, check_background, flatten
from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.matlab import read_member
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, Part
from fdkd_lightning.data.preparation.recipe.image import IMAGENET_MEAN
from fdkd_lightning.data.preparation.recipe.scene import SceneRecipe
from fdkd_lightning.ops.checks import check_count

if TYPE_CHECKING:
    from torch import Tensor


class SceneImageRecipe(SceneRecipe):
    """An image whose pixels correspond to those of a depth or label map, stored as JPEG.

    Views are those of :class:`SceneRecipe`, by bilinear interpolation. Pixels beyond the image have
    the mean colour of ImageNet, which normalization maps to 0.

    Args:
        size: H and W of the stored images, pixels.
        scales: Scale factors, of which one is drawn for each training view; the default is that of
            CMX.
        crop: H and W of the training views, pixels; None: ``size``, as in CMX.
        mirror: Flip half of the training views horizontally.
        quality: Quality of the JPEG, from 1 to 95; without chroma subsampling.
        background: Colour behind transparent images: red, green and blue from 0 to 255.

    Shape:
        - output: [3, H, W] float32 from 0 to 1

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Zhang et al., "CMX" (arXiv:2203.04838), huaaaliu/RGBX_Semantic_Segmentation
        dataloader/dataloader.py, config.py (scales and crop).

    Example:
        >>> recipe, rng = SceneImageRecipe(crop=(320, 320)), np.random.default_rng(0)
        >>> recipe.blank().shape, recipe.blank(rng).shape
        (torch.Size([3, 480, 640]), torch.Size([3, 320, 320]))
    """

    suffix: ClassVar[str] = ".jpg"

    def __init__(
        self,
        size: tuple[int, int] = (480, 640),
        scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
        quality: int = 95,
        background: tuple[int, int, int] = WHITE,
    ) -> None:
        super().__init__(size, scales, crop, mirror)
        check_count("quality", quality, 1, 95, example=95)
        self.quality = quality
        self.background = check_background(background)

    def stored(self) -> dict[str, Any]:
        """Return size, quality and background of the stored images."""
        return {"size": self.size, "quality": self.quality, "background": self.background}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode the image of an image file, or of an array in a MATLAB file."""
        if part.member:
            values = read_member(path, part.member)
            if values.dtype != np.uint8 or values.ndim != 3:
                raise MediaError(
                    "undecodable",
                    f"{part.member} is {values.dtype} {values.shape}, not RGB",
                )
            image = Image.fromarray(np.ascontiguousarray(values))
        else:
            image = read_image(path)
        self.check_size((image.height, image.width))
        content = io.BytesIO()
        flatten(image, self.background).save(content, "JPEG", quality=self.quality, subsampling=0)
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load a view of the image."""
        import torch

        with Image.open(source) as image:
            pixels = self.draw(rng).bilinear(image, IMAGENET_MEAN)
        channels_first = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return channels_first.float() / 255

    def blank(self, rng: Generator = None) -> "Tensor":
        """Return an image of the mean colour of ImageNet."""
        import torch

        return torch.tensor(IMAGENET_MEAN).view(3, 1, 1).repeat(1, *self.view_size(rng))
