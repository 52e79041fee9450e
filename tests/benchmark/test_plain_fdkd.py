import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.benchmark.plain_fdkd import plain_fdkd
from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.types import Output


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 5e-6), (torch.float64, 1e-10)])
@pytest.mark.parametrize("threshold", [0.25, 0.5])
@pytest.mark.parametrize(
    "shape",
    [(64, 512), (32, 128), (64, 2048), (5, 129), (2, 256, 12, 16), (3, 64, 24, 32), (2, 300, 5, 7)],
)
def test_the_loss_deviates_from_the_plain_form_by_rounding_only(
    shape: tuple[int, ...], threshold: float, dtype: torch.dtype, error: float
) -> None:
    torch.manual_seed(0)
    student, noise = (torch.randn(shape, dtype=dtype) for _ in range(2))
    teacher, logits = student + noise, torch.zeros(shape[0], 6)
    target = torch.randint(0, 6, shape[:1])
    heads = SharedAlignmentHead(shape[1], 6).to(dtype) if len(shape) == 2 else None
    loss = FDKDLoss(FrequencyDecoupler(threshold), heads)
    linears = [nn.Linear(shape[1], 6, dtype=dtype) for _ in range(2)] if heads else []
    for linear, head in zip(linears, (heads.low, heads.high) if heads else (), strict=True):
        linear.load_state_dict(head.state_dict())

    def results(value: Tensor, x: Tensor, parameters: list[Tensor]) -> list[Tensor]:
        return [value.detach(), *torch.autograd.grad(value, [x, *parameters])]

    x = student.requires_grad_()
    fused = results(
        sum(loss(Output(x, logits), Output(teacher, logits), target).values()),
        x,
        list(loss.parameters()),
    )
    plain = results(
        plain_fdkd(x, teacher, target, linears, threshold),
        x,
        [p for linear in linears for p in linear.parameters()],
    )
    for found, expected in zip(fused, plain, strict=True):
        assert ((found - expected).norm() / expected.norm()).item() < error
