"""FreeKD: wavelet details of the teacher's maps, weighted by the masks of trained prompts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.freekd_prompts import prompt_masks
from fdkd_lightning.losses.outputs import require_same_batch, stage_map
from fdkd_lightning.ops.checks import check_count, check_weights
from fdkd_lightning.ops.haar_transform import haar_dwt
from fdkd_lightning.ops.mean import mean
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output


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
        ValueError: If an argument is out of range, the prompts do not fit the levels or the
            teacher's channels, there is no such stage, or there is no teacher.
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
        check_count("levels", levels, example=3)
        check_count("stage", stage, None, example=-1)
        check_weights(weight=weight)
        if prompts is not None:
            prompts = torch.as_tensor(prompts).detach().clone()
            check_tensor("prompts", prompts, f"[{levels + 1}, T, C]")
            if prompts.ndim != 3 or len(prompts) != levels + 1:
                raise ValueError(
                    f"prompts of shape {list(prompts.shape)} do not fit levels={levels}: they must "
                    f"be [{levels + 1}, T, C], as freekd_prompts(maps, levels={levels}) gives them"
                )
            if not prompts.numel() or not prompts.isfinite().all():
                raise ValueError(
                    f"prompts of shape {list(prompts.shape)} must hold finite values, at least "
                    "one: train them again with freekd_prompts"
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
        student_map = stage_map("student", student, self.stage)
        require_same_batch(student_map, teacher_map)
        student_map = self._connect(student_map, teacher_map)
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
                    masks = prompt_masks(self.prompts[level].to(t.dtype), t)
                    error = error * masks.mean(1)[:, None, None]
                terms.append(mean(error))
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
