"""Pictures moved, turned, scaled and mirrored, each in its own way, the whole batch at once."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RandomAffine(nn.Module):
    r"""A random similarity transform of each picture in training; otherwise the picture as it is.

    torchvision's transforms of this kind draw once for a whole batch. Here each picture has its
    own draw, and all are made in one pass:

    .. math::
        y(p) = x(A^{-1} (p - t)), \quad
        A = s \begin{pmatrix} \cos a & -\sin a \\ \sin a & \cos a \end{pmatrix} M

    with *p* in pixels from the middle, and *M* a mirror image for half of the pictures. Beyond its
    edge a picture goes on as at the edge. The draws are made on the CPU: they are the same
    whatever the device.

    Args:
        degrees: The angle *a* is drawn up to so many, to both sides.
        translate: The shift *t* is up to this share of width and height, to both sides.
        scale: Least and greatest size *s*, where 1 leaves it as it is.
        mirror: Mirror half of the pictures, left to right.

    Shape:
        - pictures: [N, C, H, W], floats
        - output: the same

    Raises:
        ValueError: If an argument is out of range, or the pictures have another shape or type.

    Example:
        >>> pictures = torch.rand(2, 3, 40, 40)
        >>> RandomAffine()(pictures).shape
        torch.Size([2, 3, 40, 40])
        >>> bool((RandomAffine().eval()(pictures) == pictures).all())
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
        if not 0 <= degrees <= 180:
            raise ValueError(f"degrees={degrees} must be from 0 to 180")
        if not 0 <= translate <= 1:
            raise ValueError(f"translate={translate} must be from 0 to 1")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale={scale} must be two sizes above 0, the lesser first")
        self.degrees = degrees
        self.translate = translate
        self.scale = scale
        self.mirror = mirror

    def forward(self, pictures: Tensor) -> Tensor:
        """The pictures, each transformed in its own way."""
        if pictures.ndim != 4 or not pictures.is_floating_point():
            raise ValueError(
                f"pictures are {pictures.dtype} of shape {list(pictures.shape)}: give floats of "
                "[N, C, H, W]"
            )
        if not self.training:
            return pictures
        theta = self._inverses(len(pictures), *pictures.shape[-2:]).to(pictures)
        grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)

    def _inverses(self, count: int, height: int, width: int) -> Tensor:
        """Where each output comes from, [N, 2, 3], in coordinates from -1 to 1 along each axis."""
        draws = torch.rand(5, count)
        angle = math.radians(self.degrees) * (2 * draws[0] - 1)
        least, greatest = map(math.log, self.scale)
        zoom = (-least - (greatest - least) * draws[1]).exp()
        shift = -2 * self.translate * (2 * draws[2:4] - 1)
        mirror = torch.where(draws[4] < 0.5, -1.0, 1.0) if self.mirror else torch.ones(count)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        # A quarter turn takes the height to the width, each of which is 2 in these coordinates.
        x = torch.stack([mirror * cos, mirror * sin * height / width, 0 * cos], 1)
        y = torch.stack([-sin * width / height, cos, 0 * cos], 1)
        theta = torch.stack([x, y], 1)
        theta[:, :, 2] = (theta[:, :, :2] @ shift.T[:, :, None])[:, :, 0]
        return theta
