from functools import partial

import pytest
import torch

from fdkd_lightning.benchmark.cases.methods import (
    DENSE_METHODS,
    VECTOR_METHODS,
    CriterionRun,
    measure_methods,
)
from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.losses import KDLoss
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.models.semantic_fpn import SemanticFPN
from fdkd_lightning.types import Output

LAYERS, CHANNELS = (1, 1, 1, 1), (4, 4, 8, 8)


def test_each_method_is_timed_beside_the_student_s_step() -> None:
    methods = dict(VECTOR_METHODS)
    del methods["CRD"]  # its memory takes seconds to draw
    network = partial(ResNet, 3, 3, LAYERS, CHANNELS, stem_pool=False)
    rows = measure_methods("small", methods, network, (4, 3, 16, 16), Limits(2))
    assert [row.variant for row in rows] == ["student step", *methods]
    assert {row.compared_with for row in rows[1:]} == {"student step"}


def test_dense_methods_get_labels_of_pixels() -> None:
    methods = {name: DENSE_METHODS[name] for name in ("KD", "C2KD, dense", "CIRKD")}
    network = partial(SemanticFPN, 3, 3, LAYERS, CHANNELS, width=8)
    rows = measure_methods("small", methods, network, (2, 3, 16, 16), Limits(2), dense=True)
    assert [row.variant for row in rows[1:]] == [*methods]


def test_a_run_goes_back_to_the_student_s_outputs_and_not_to_its_network() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    target = torch.zeros(4, dtype=torch.long)
    run = CriterionRun(
        KDLoss(),
        *(Output(torch.randn(4, 8), x) for x in (logits, torch.randn(4, 3))),
        target,
    )
    assert run() == pytest.approx(run().item())
    assert run.student.logits.grad is not None
    assert logits.grad is None
