"""FreeKD: the details of the teacher's maps, where prompts say that they count."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from fdkd_lightning.losses.base import DistillationLoss, require_teacher, stage_map
from fdkd_lightning.ops.haar_transform import haar_dwt, haar_idwt
from fdkd_lightning.types import Output


def freekd_prompts(
    maps: Iterable[Tensor],
    num_tokens: int = 2,
    levels: int = 3,
    steps: int = 2000,
    lr: float = 0.01,
    diversity: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> Tensor:
    r"""Train the prompts of :class:`FreeKDLoss` on a teacher's maps, before training a student.

    .. math::
        L = \frac{\lVert \hat x - x \rVert^2}{\lVert x \rVert^2}
        + \lambda \sum_{j=0}^{J} \frac{1}{N T (T - 1)} \sum_n \sum_{t \neq u}
        \frac{2 \langle m_{jt}, m_{ju} \rangle}{\lVert m_{jt} \rVert^2 + \lVert m_{ju} \rVert^2},
        \quad \hat x = \mathrm{IDWT}\Big(\frac2T \sum_t m_{jt} \, B_j\Big)

    The second part, Dice coefficients of the masks of different tokens, is the published one and
    keeps the tokens apart. The first stands in for what the published prompts are trained with:
    the loss of the teacher's detector on the masked maps, which only a detector has. (There the
    masks are added up; 2/T lets them restore a map where they begin, at 1/2, whatever T.) Prompts
    of this function are hence not the published ones: they tell what a map is made of, not what a
    detector needs.

    Args:
        maps: Batches of one stage's maps, such as ``[teacher(x).maps[-1] for x in loader]``; all
            are kept in memory.
        num_tokens: T, the default of the published code; its configurations set 6.
        levels: J, that of the loss.
        steps: Steps of Adam, one batch each; a file name in the published configurations tells
            of 2000.
        lr: Its learning rate.
        diversity: Lambda.
        seed: Seed of the first prompts, which are normal with deviation 0.01.
        progress: Show a progress bar.

    Returns:
        The prompts of the low band, which the loss does not use, and of each level's details.

    Shape:
        - maps: [N, C, H, W] each
        - output: [J + 1, T, C]

    Raises:
        ValueError: If there are no maps, or a count is below 1.

    Reference:
        FreeKD (arXiv 2311.12079); Gumpest/FreeKD, mmrazor/models/losses/freekd.py
        (``MaskModule``).

    Example:
        >>> freekd_prompts([torch.randn(2, 4, 8, 8)], steps=3, progress=False).shape
        torch.Size([4, 2, 4])
    """
    batches = list(maps)
    if not batches:
        raise ValueError("maps is empty: give at least one batch of a teacher's maps")
    for name, value in (("num_tokens", num_tokens), ("levels", levels), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    shape = (levels + 1, num_tokens, batches[0].shape[1])
    start = 0.01 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    prompts = start.to(batches[0].device).requires_grad_()
    optimizer = torch.optim.Adam([prompts], lr)
    for step in trange(steps, desc="Training prompts", disable=not progress):
        # A copy: maps that were made in inference mode take part in no graph.
        x = batches[step % len(batches)].detach().to(prompts.dtype, copy=True)
        low, details = haar_dwt(x, levels)
        masks = [
            _masks(p, band) for p, band in zip(prompts, [low[:, :, None], *details], strict=True)
        ]
        weights = [2 * mask.mean(1, keepdim=True) for mask in masks]
        kept = [
            detail * weight.unsqueeze(2)
            for detail, weight in zip(details, weights[1:], strict=True)
        ]
        error = F.mse_loss(haar_idwt(low * weights[0], kept, x.shape[2:]), x)
        dice = torch.stack([_dice(mask) for mask in masks]).sum()
        loss = error / x.square().mean().clamp_min(torch.finfo(x.dtype).tiny) + diversity * dice
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return prompts.detach()


class FreeKDLoss(DistillationLoss):
    r"""Mean absolute error of the maps' wavelet details, masked, with the one term ``freekd``.

    .. math::
        L = w \sum_{j=1}^{J} \frac{1}{|B_j|} \sum_{n, c, o, h, w} \frac1T \sum_t
        \sigma\Big(p_{jt} \cdot \sum_{o'} B^t_{j n o' h w}\Big) \,
        \big| B^s_{j n c o h w} - B^t_{j n c o h w} \big|

    where :math:`B_j` are the details of level j of :func:`haar_dwt`, in three orientations o, and
    :math:`p_{jt}` the prompts. This is the published code. It calls the levels H, V and D as if
    they were orientations; it leaves out the low band (commented out there) and the position-aware
    weights of the paper (absent there); so they are here. Its recipe has more: 5 times the MSE of
    the maps and the smooth L1 of a detector's boxes, and a sum over the stages of a pyramid. That
    is a ``CompositeLoss`` of this loss per stage and the others.

    The student's map is brought to the teacher's shape: by a 1 x 1 convolution, trained along,
    where the channels differ (the published recipe has one always), and bilinearly where height or
    width do (the published pairs have equal ones). Where a map is smaller than :math:`2^J` pixels
    its details are differences to the zeros around it: on a map of one pixel the loss is
    1/2 + 1/4 + 1/8 of the maps' mean error.

    Args:
        stage: Which of ``Output.maps``.
        levels: J, how often the maps are halved.
        prompts: What :func:`freekd_prompts` gave for the teacher's maps of this stage, a tensor or
            (in YAML) nested lists; they are not trained further. None: no masks, every detail
            counts once.
        weight: w.

    Shape:
        - maps: [N, C, H, W], of any shape for either
        - prompts: [J + 1, T, C] with the teacher's C

    Raises:
        ValueError: If ``levels`` is below 1, the prompts' shape fits neither levels nor teacher,
            there is no such stage, or there is no teacher.
        RuntimeError: If channels differ and it was not built.

    Reference:
        FreeKD (arXiv 2311.12079); Gumpest/FreeKD, mmrazor/models/losses/freekd.py.

    Example:
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.randn(2, 4, 8, 8),))
        >>> FreeKDLoss()(output, output, torch.tensor([0, 1]))
        {'freekd': tensor(0.)}
    """

    prompts: Tensor | None

    def __init__(
        self,
        stage: int = -1,
        levels: int = 3,
        prompts: Tensor | list[list[list[float]]] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels={levels} must be at least 1, for example 3")
        if prompts is not None:
            prompts = torch.as_tensor(prompts).detach().clone()
            if prompts.ndim != 3 or len(prompts) != levels + 1:
                raise ValueError(
                    f"prompts of shape {list(prompts.shape)} do not fit levels={levels}: they must "
                    f"be [{levels + 1}, T, C], as freekd_prompts(maps, levels={levels}) gives them"
                )
        self.stage = stage
        self.levels = levels
        self.weight = weight
        self.register_buffer("prompts", prompts)
        self.connector: nn.Conv2d | None = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the convolution, where the channels differ."""
        teacher = require_teacher(self, teacher)
        own, its = (
            stage_map("student", student, self.stage),
            stage_map("teacher", teacher, self.stage),
        )
        if self.connector is None and own.shape[1] != its.shape[1]:
            self.connector = nn.Conv2d(own.shape[1], its.shape[1], 1)

    def single_teacher_only(self) -> bool:
        """It does: so do connector and prompts."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        teacher = require_teacher(self, teacher)
        its = stage_map("teacher", teacher, self.stage).detach()
        own = self._connected(stage_map("student", student, self.stage), its)
        dtype = torch.promote_types(own.dtype, torch.float32)
        # Autocast would take the masks' product to bf16.
        with torch.autocast(own.device.type, enabled=False):
            own, its = own.to(dtype), its.to(dtype)
            if own.shape[2:] != its.shape[2:]:
                own = F.interpolate(own, its.shape[2:], mode="bilinear", align_corners=False)
            (_, own_details), (_, its_details) = (haar_dwt(x, self.levels) for x in (own, its))
            terms = []
            for level, (s, t) in enumerate(zip(own_details, its_details, strict=True), start=1):
                error = (s - t).abs()
                if self.prompts is not None:
                    masks = _masks(self.prompts[level].to(dtype), t)
                    error = error * masks.mean(1)[:, None, None]
                terms.append(error.mean())
        return {"freekd": self.weight * torch.stack(terms).sum()}

    def _connected(self, own: Tensor, its: Tensor) -> Tensor:
        """The student's map with the teacher's channels."""
        if self.prompts is not None and self.prompts.shape[2] != its.shape[1]:
            raise ValueError(
                f"prompts have {self.prompts.shape[2]} channels, the teacher's map {its.shape[1]}: "
                "train them with freekd_prompts on the maps of this teacher and stage"
            )
        if self.connector is not None:
            joined: Tensor = self.connector(own.to(self.connector.weight.dtype))
            return joined
        if own.shape[1] != its.shape[1]:
            raise RuntimeError(
                f"FreeKDLoss has no convolution from {own.shape[1]} to {its.shape[1]} channels "
                "yet: call build() before the first forward"
            )
        return own


def _masks(prompts: Tensor, band: Tensor) -> Tensor:
    """How much each of T tokens wants of each pixel, [N, T, H, W], of a band [N, C, 3, H, W]."""
    return torch.einsum("tc,nchw->nthw", prompts, band.sum(2)).sigmoid()


def _dice(masks: Tensor) -> Tensor:
    """Mean Dice coefficient of the masks [N, T, H, W] of different tokens."""
    flat = masks.flatten(2)
    products = flat @ flat.mT
    squares = products.diagonal(dim1=1, dim2=2)
    overlap = 2 * products / (squares[:, :, None] + squares[:, None] + 2e-12)
    n, tokens = masks.shape[:2]
    different = 1 - torch.eye(tokens, dtype=masks.dtype, device=masks.device)
    return (overlap * different).sum() / max(1, n * tokens * (tokens - 1))
