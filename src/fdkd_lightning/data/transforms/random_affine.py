"""Random affine augmentation, drawn for each image of a batch by itself."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdkd_lightning.ops.checks import check_flags, check_range


class RandomAffine(nn.Module):
    r"""Random similarity transform of each image in training; the identity in evaluation.

    .. math::
        y(p) = x(A^{-1} (p - t)), \quad
        A = s \begin{pmatrix} \cos a & -\sin a \\ \sin a & \cos a \end{pmatrix} M

    with *p* in pixels from the centre, and *M* a horizontal flip for half of the images. Pixels
    beyond an edge repeat the edge.

    The affine transforms of torchvision draw once for a whole batch. This module draws for each
    image and transforms the batch in one pass. It draws on the CPU, so that the draws do not
    depend on the device.

    Args:
        degrees: The angle *a* is uniform in [-degrees, degrees], from 0 to 180.
        translate: The shift *t* is uniform up to this fraction of width and height in either
            direction, from 0 to 1.
        scale: Smallest and largest scale factor *s*, log-uniform between them; 1 keeps the size.
        mirror: Flip half of the images horizontally.

    Shape:
        - images: [N, C, H, W], floating point
        - output: [N, C, H, W]

    Raises:
        ValueError: If an argument is out of range, or the images have another shape or dtype.

    Example:
        >>> images = torch.rand(2, 3, 40, 40)
        >>> RandomAffine()(images).shape
        torch.Size([2, 3, 40, 40])
        >>> bool((RandomAffine().eval()(images) == images).all())
        True
    """

    def __init__(
        self,
        degrees: float = 10.0,
        translate: float = 0.1,
        scale: tuple[float, float] = (0.85, 1.15),
        mirror: bool = True,
    ) -> None:
        super().__init__()
        check_range("degrees", degrees, 0, 180)
        check_range("translate", translate, 0, 1)
        if not isinstance(scale, tuple | list) or len(scale) != 2:
            raise ValueError(f"scale={scale!r} must be two factors, such as [0.85, 1.15]")
        smallest, largest = scale
        check_flags(mirror=mirror)
        check_range("scale[0]", smallest, above=0)
        check_range("scale[1]", largest, smallest)
        self.degrees = degrees
        self.translate = translate
        self.scale = scale
        self.mirror = mirror

    def forward(self, images: Tensor) -> Tensor:
        """Transform each image by its own draw."""
        if not isinstance(images, Tensor):
            raise TypeError(f"images are {type(images).__name__}: pass a tensor [N, C, H, W]")
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(
                f"images are {images.dtype} of shape {list(images.shape)}: pass floating-point "
                "images of shape [N, C, H, W]"
            )
        if not self.training or not len(images):
            return images
        if not images.numel():
            raise ValueError(f"images have shape {list(images.shape)}, without pixels: pass some")
        theta = self._inverses(len(images), *images.shape[-2:]).to(images)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _inverses(self, count: int, height: int, width: int) -> Tensor:
        """Inverse transforms, [N, 2, 3], in coordinates from -1 to 1 along each axis."""
        draws = torch.rand(5, count)
        angle = math.radians(self.degrees) * (2 * draws[0] - 1)
        smallest, largest = map(math.log, self.scale)
        zoom = (-smallest - (largest - smallest) * draws[1]).exp()
        shift = -2 * self.translate * (2 * draws[2:4] - 1)
        mirror = torch.where(draws[4] < 0.5, -1.0, 1.0) if self.mirror else torch.ones(count)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        # Both sides have length 2 in these coordinates: a rotation needs the aspect ratio.
        x = torch.stack([mirror * cos, mirror * sin * height / width, 0 * cos], 1)
        y = torch.stack([-sin * width / height, cos, 0 * cos], 1)
        theta = torch.stack([x, y], 1)
        theta[:, :, 2] = (theta[:, :, :2] @ shift.T[:, :, None])[:, :, 0]
        return theta
