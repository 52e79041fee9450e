"""FreeKD: wavelet details of the teacher's maps, weighted by the masks of trained prompts."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from fdkd_lightning.losses.base import DistillationLoss, require_teacher, stage_map
from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.ops.haar_transform import haar_dwt, haar_idwt
from fdkd_lightning.ops.precision import at_least_float32
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

    The second part, the Dice coefficients between masks of different tokens, is the published one;
    it makes the tokens differ. The first part replaces the loss of the teacher's detector on the
    masked maps, with which the published prompts are trained and which only a detector has. (The
    published code adds up the masks. With the factor 2/T they reconstruct the map at their initial
    value of 1/2, for every T.) The prompts of this function therefore differ from the published
    ones: they describe what reconstructs a map, not what a detector needs.

    Args:
        maps: Batches of one stage's maps, such as ``[teacher(x).maps[-1] for x in loader]``; all
            of them are kept in memory.
        num_tokens: T, the number of tokens; 2 is the default of the published code, whose
            configurations set 6.
        levels: J, the number of levels, the same as for the loss.
        steps: Steps of Adam, one batch each; 2000 according to a file name in the published
            configurations.
        lr: Learning rate of Adam.
        diversity: Weight lambda of the Dice coefficients.
        seed: Seed of the initial prompts, which are normal with standard deviation 0.01.
        progress: Show a progress bar.

    Returns:
        The prompts of the low band, which the loss does not use, then those of each level's
        details.

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
    check_range("num_tokens", num_tokens, 1, example=2)
    check_range("levels", levels, 1, example=3)
    check_range("steps", steps, 1, example=2000)
    shape = (levels + 1, num_tokens, batches[0].shape[1])
    start = 0.01 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    prompts = start.to(batches[0].device).requires_grad_()
    optimizer = torch.optim.Adam([prompts], lr)
    for step in trange(steps, desc="Training prompts", disable=not progress):
        # A copy: tensors made in inference mode cannot be part of a graph.
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
    r"""Masked mean absolute error of the maps' wavelet details, the term ``freekd``.

    .. math::
        L = w \sum_{j=1}^{J} \frac{1}{|B_j|} \sum_{n, c, o, h, w} \frac1T \sum_t
        \sigma\Big(p_{jt} \cdot \sum_{o'} B^t_{j n o' h w}\Big) \,
        \big| B^s_{j n c o h w} - B^t_{j n c o h w} \big|

    :math:`B_j` are the details of level j of :func:`haar_dwt`, in three orientations o, and
    :math:`p_{jt}` the prompts. This follows the published code, which names its levels H, V and D
    as if they were orientations. Like that code it omits the low band (commented out there) and the
    paper's position-aware weights (absent there). The published recipe adds 5 times the MSE of the
    maps and the smooth L1 loss of a detector's boxes, and sums over the stages of a pyramid; for
    that, compose this loss per stage with others in a ``CompositeLoss``.

    If the channels differ, a trained 1 x 1 convolution maps the student's to the teacher's (the
    published recipe always has one). If height or width differ, the student's map is resized
    bilinearly (the published pairs have equal sizes). For a map smaller than :math:`2^J` pixels
    the details are differences from the zero padding: on a map of one pixel the loss is 1/2 + 1/4 +
    1/8 of the maps' mean error.

    Args:
        stage: Index into ``Output.maps``.
        levels: J, the number of levels, at least 1.
        prompts: Result of :func:`freekd_prompts` for the teacher's maps of this stage, a tensor or
            (in YAML) nested lists; they are not trained further. None uses no masks: every detail
            has weight 1.
        weight: Factor w of the term.

    Shape:
        - maps: [N, C, H, W]; C, H and W may differ between the networks
        - prompts: [J + 1, T, C], with the teacher's C
        - target: not used

    Raises:
        ValueError: If ``levels`` is below 1, the prompts do not fit the levels or the teacher's
            channels, there is no such stage, or there is no teacher.
        RuntimeError: If the channels differ and it is called before :meth:`build`.

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
        check_range("levels", levels, 1, example=3)
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
        """Create the convolution if the channels differ."""
        teacher = require_teacher(self, teacher)
        inputs = stage_map("student", student, self.stage).shape[1]
        outputs = stage_map("teacher", teacher, self.stage).shape[1]
        if self.connector is None and inputs != outputs:
            self.connector = nn.Conv2d(inputs, outputs, 1)

    def single_teacher_only(self) -> bool:
        """Return True: the convolution and the prompts belong to one teacher."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        teacher_map = stage_map("teacher", teacher, self.stage).detach()
        student_map = self._connect(stage_map("student", student, self.stage), teacher_map)
        # Autocast would compute the masks' product in bf16.
        with torch.autocast(student_map.device.type, enabled=False):
            student_map = at_least_float32(student_map)
            teacher_map = teacher_map.to(student_map.dtype)
            size = teacher_map.shape[2:]
            if student_map.shape[2:] != size:
                student_map = F.interpolate(student_map, size, mode="bilinear", align_corners=False)
            _, student_details = haar_dwt(student_map, self.levels)
            _, teacher_details = haar_dwt(teacher_map, self.levels)
            pairs = zip(student_details, teacher_details, strict=True)
            terms = []
            for level, (s, t) in enumerate(pairs, start=1):
                error = (s - t).abs()
                if self.prompts is not None:
                    masks = _masks(self.prompts[level].to(t.dtype), t)
                    error = error * masks.mean(1)[:, None, None]
                terms.append(error.mean())
        return {"freekd": self.weight * torch.stack(terms).sum()}

    def _connect(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """Map the student's channels to the teacher's."""
        inputs, outputs = student_map.shape[1], teacher_map.shape[1]
        if self.prompts is not None and self.prompts.shape[2] != outputs:
            raise ValueError(
                f"prompts have {self.prompts.shape[2]} channels, the teacher's map {outputs}: "
                "train them with freekd_prompts on the maps of this teacher and stage"
            )
        if self.connector is not None:
            connected: Tensor = self.connector(student_map.to(self.connector.weight.dtype))
            return connected
        if inputs != outputs:
            raise RuntimeError(
                f"FreeKDLoss has no convolution from {inputs} to {outputs} channels yet: "
                "call build() before the first forward"
            )
        return student_map


def _masks(prompts: Tensor, band: Tensor) -> Tensor:
    """Masks of the prompts [T, C] on a band: [N, C, 3, H, W] -> [N, T, H, W]."""
    return torch.einsum("tc,nchw->nthw", prompts, band.sum(2)).sigmoid()


def _dice(masks: Tensor) -> Tensor:
    """Mean Dice coefficient between masks [N, T, H, W] of different tokens."""
    flat = masks.flatten(2)
    products = flat @ flat.mT
    squares = products.diagonal(dim1=1, dim2=2)
    overlap = 2 * products / (squares[:, :, None] + squares[:, None] + 2e-12)
    n, tokens = masks.shape[:2]
    different = 1 - torch.eye(tokens, dtype=masks.dtype, device=masks.device)
    return (overlap * different).sum() / max(1, n * tokens * (tokens - 1))
