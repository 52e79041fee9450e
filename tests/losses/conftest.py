"""Outputs to compare, shared by the tests of all losses."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fdkd_lightning.types import Output

Pair = tuple[Output, Output, Tensor]


@pytest.fixture
def pair() -> Callable[..., Pair]:
    """Random outputs of a student and a teacher that want gradients, and a target."""

    def make(
        n: int = 4,
        d: int = 16,
        k: int = 3,
        size: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float32,
    ) -> Pair:
        generator = torch.Generator().manual_seed(0)
        features, logits = (
            torch.randn(2, n, channels, *size, dtype=torch.float64, generator=generator).to(dtype)
            for channels in (d, k)
        )
        student, teacher = (
            Output(*(x.clone().requires_grad_() for x in output))
            for output in zip(features, logits, strict=True)
        )
        target = torch.randint(k, (n, *size), generator=generator)
        if target.numel() > 1:
            target.view(-1)[0] = -100
        return student, teacher, target

    return make
