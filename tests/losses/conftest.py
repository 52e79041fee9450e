"""Outputs to compare, shared by the tests of all losses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.types import Output

Pair = tuple[Output, Output, Tensor]

# Channels, height and width of the stages' maps: a student's, and a teacher's that is wider, and
# half as large in the first stage.
STAGES = (
    ((3, 8, 8), (4, 4, 4), (5, 4, 4), (6, 2, 2)),
    ((4, 4, 4), (6, 4, 4), (7, 4, 4), (8, 2, 2)),
)


@pytest.fixture
def pair() -> Callable[..., Pair]:
    """Random outputs of a student and a teacher, with gradients, and a target."""

    def make(
        n: int = 4,
        d: int = 16,
        k: int = 3,
        size: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float32,
        stages_of_both: Any = STAGES,
    ) -> Pair:
        generator = torch.Generator().manual_seed(0)
        maps = [
            tuple(
                torch.randn(n, *stage, dtype=torch.float64, generator=generator).to(dtype)
                for stage in stages
            )
            for stages in stages_of_both
        ]
        features, logits = (
            torch.randn(2, n, channels, *size, dtype=torch.float64, generator=generator).to(dtype)
            for channels in (d, k)
        )
        student, teacher = (
            Output(
                f.clone().requires_grad_(),
                z.clone().requires_grad_(),
                tuple(stage.requires_grad_() for stage in stages),
                torch.arange(n),
            )
            for f, z, stages in zip(features, logits, maps, strict=True)
        )
        target = torch.randint(k, (n, *size), generator=generator)
        if target.numel() > 1:
            target.view(-1)[0] = -100
        return student, teacher, target

    return make
