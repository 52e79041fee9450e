"""All cases, in the order in which they are measured and reported."""

from fdkd_lightning.benchmark.cases import (
    checkpoint,
    curves,
    loader,
    loss,
    memory,
    methods,
    step,
    torchdistill,
)
from fdkd_lightning.benchmark.cases.case import Case

CASES: tuple[Case, ...] = (
    loss.CASE,
    methods.CASE,
    step.CASE,
    torchdistill.CASE,
    loader.CASE,
    memory.CASE,
    checkpoint.CASE,
    curves.CASE,
)
