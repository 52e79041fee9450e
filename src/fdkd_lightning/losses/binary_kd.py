"""Binary KD: the teacher's softened predictions of independent labels."""

import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_same_shape
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.multi_label import MultiLabelTask
from fdkd_lightning.ops.checks import check_range, check_weights
from fdkd_lightning.ops.mean import mean
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output

REMEDY = "train both on the same labels"


def binary_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Mean KL divergence of each label's softened probability from the teacher's, in float32.

    .. math::
        T^2 \cdot \frac{1}{NK} \sum_{i,k}
        \Big( p^t_{ik} \log \frac{p^t_{ik}}{p^s_{ik}}
        + (1 - p^t_{ik}) \log \frac{1 - p^t_{ik}}{1 - p^s_{ik}} \Big), \quad
        p = \sigma(z / T)

    It is a mean over samples and labels, as ``BCEWithLogitsLoss`` is. The official code sums over
    the K labels and has weight 10, which is ``weight=10 * K`` here.

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        temperature: T, above 0; larger is softer. The official code has none, which is 1.

    Shape:
        - student, teacher: [N, K], [N, K, H, W] or [N], the same
        - output: scalar, 0 for an empty batch

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the logits are not floating-point or their shapes differ, or the temperature
            is not above 0.

    Reference:
        P. Yang et al., "Multi-Label Knowledge Distillation", ICCV 2023 (arXiv 2308.06453), the
        multi-label logits distillation (MLD); penghui-yang/L2D, distiller_zoo/logits_based/mld.py.
        The factor T^2 is that of Hinton et al. 2015 (arXiv 1503.02531), Section 2.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.0]]), torch.tensor([[3.0]]).log()
        >>> binary_kd_loss(student, teacher)  # 3/4 log(3/2) + 1/4 log(1/2)
        tensor(0.1308)
    """
    check_range("temperature", temperature, above=0, example=1)
    require_same_shape("logits", student, teacher, REMEDY)
    check_tensor("the student's logits", student, "[N, K], [N, K, H, W] or [N]", *range(1, 6))
    student = at_least_float32(student) / temperature
    teacher = teacher.detach().to(student.dtype) / temperature
    # log(sigmoid) is finite where sigmoid is 0.
    divergence = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    divergence = divergence + (-teacher).sigmoid() * (
        F.logsigmoid(-teacher) - F.logsigmoid(-student)
    )
    return temperature**2 * mean(divergence)


class BinaryKDLoss(DistillationLoss):
    """Distillation loss with the term ``kd``: w times :func:`binary_kd_loss` of the logits.

    The counterpart of :class:`KDLoss` for labels that are independent of each other, which a
    softmax would make compete.

    Args:
        temperature: T, above 0; larger is softer.
        weight: Factor w of the term.

    Shape:
        - logits: [N, K], [N, K, H, W] or [N], the same for both
        - target: not used

    Raises:
        ValueError: If the temperature is not above 0, the weight negative or not finite, there is
            no teacher, or the logits' shapes differ.

    Example:
        >>> import torch
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> BinaryKDLoss()(output, output, torch.ones(2, 3))
        {'kd': tensor(0.)}
    """

    def __init__(self, temperature: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        check_range("temperature", temperature, above=0, example=1)
        check_weights(weight=weight)
        self.temperature = temperature
        self.weight = weight

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task whose outputs are logits of independent labels."""
        return (MultiLabelTask,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        loss = binary_kd_loss(student.logits, teacher.logits, self.temperature)
        return {"kd": self.weight * loss}
