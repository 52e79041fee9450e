from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler, LearnableFrequencyDecoupler
from fdkd_lightning.losses.aligned_comparison import aligned_comparison
from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.losses.band_comparison import BandComparison
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.standardizer import UnitLength
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.types import Bands, Output

PROCESS = """
import sys
import torch
import torch.distributed as dist
import fdkd_lightning as fdkd

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.manual_seed(0)
criterion = fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), fdkd.SharedAlignmentHead(8, 3))
x, y = torch.randn(4, 8), torch.randn(4, 8)
kept = slice(4 - 4 * rank)
student, teacher = (fdkd.Output(z[kept], torch.zeros(4, 3)[kept]) for z in (x, y))
terms = criterion(student, teacher, torch.tensor([0, 1, -100, 2])[kept])
sum(terms.values()).backward()
met = torch.ones(())
dist.all_reduce(met)
weight = criterion.alignment.low.weight
dist.all_reduce(weight.grad)
torch.save(({k: v.item() for k, v in terms.items()}, met, weight.grad / 2), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


class Tenfold(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 10 * super().forward(x)


class Scaled(SharedAlignmentHead):
    def forward(self, bands: Bands) -> Bands:
        return Bands(*(2 * x for x in super().forward(bands)))


def replaced() -> SharedAlignmentHead:
    head = SharedAlignmentHead(7, 5)
    head.low = Tenfold(7, 5)  # type: ignore[assignment]  # as a user may
    return head


def parametrized() -> SharedAlignmentHead:
    head = SharedAlignmentHead(7, 5)
    nn.utils.parametrizations.weight_norm(head.high)
    return head


def inference(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.clone()


def hooked() -> SharedAlignmentHead:
    head = SharedAlignmentHead(7, 5)
    head.low.register_forward_hook(lambda *_: None)
    return head


def compared(**changed: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "decoupler": FrequencyDecoupler(),
        "classifiers": SharedAlignmentHead(7, 5),
        "student": torch.randn(6, 7, requires_grad=True),
        "target": torch.arange(6) % 5,
        "task": OneClassTask(),
    } | changed
    parts = nn.MSELoss(), LogMSELoss(), UnitLength()
    compare = BandComparison(arguments.pop("decoupler"), *parts)
    teacher = torch.randn_like(arguments["student"])
    return aligned_comparison(compare, teacher=teacher, **arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_terms_are_those_of_distances_and_classifiers(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    head, target = SharedAlignmentHead(7, 5), torch.tensor([4, 0, -100, 1, 1, 2])
    student, teacher = (torch.randn(6, 7).to(dtype) for _ in range(2))
    compare = BandComparison(FrequencyDecoupler(), nn.MSELoss(), LogMSELoss(), UnitLength())
    found = aligned_comparison(compare, head, student, teacher, target, OneClassTask())
    low, high, bands = compare.part_by_part(student.float(), teacher.float(), None, True)
    assert bands is not None
    align = alignment_loss(head(Bands(*bands[:, :6])), head(Bands(*bands[:, 6:])), target)
    assert found is not None
    torch.testing.assert_close(torch.stack(found), torch.stack((low, high, align)))


@pytest.mark.parametrize(
    "changed",
    [
        {"student": torch.zeros(6, 7, 3)},
        {"decoupler": LearnableFrequencyDecoupler()},
        {"decoupler": FrequencyDecoupler(keep_dc=True)},
        {"classifiers": SharedAlignmentHead(7, 1)},
        {"classifiers": SharedAlignmentHead()},
        {"classifiers": SharedAlignmentHead(8, 5)},
        {"classifiers": SharedAlignmentHead(7, 5).double()},
        {"classifiers": Scaled(7, 5)},
        {"classifiers": hooked()},
        {"classifiers": replaced()},
        {"classifiers": parametrized()},
        {"student": inference(torch.zeros(6, 7))},
        {"target": inference(torch.arange(6) % 5)},
        {"target": torch.arange(5)},
        {"target": torch.zeros(6, 5)},
        {"target": None},
        {"task": OneClassTask(weight=[1, 2, 3, 4, 5])},
        {"task": OneClassTask(nn.CrossEntropyLoss(label_smoothing=0.1))},
    ],
    ids=str,
)
def test_other_parts_are_left_to_themselves(changed: dict[str, Any]) -> None:
    assert compared() is not None
    assert compared(**changed) is None


@pytest.mark.slow
def test_a_rank_without_samples_meets_the_others(
    in_processes: Callable[..., None], tmp_path: Path
) -> None:
    in_processes(PROCESS, tmp_path)
    torch.manual_seed(0)
    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(8, 3))
    student, teacher = (Output(torch.randn(4, 8), torch.zeros(4, 3)) for _ in range(2))
    terms = criterion(student, teacher, torch.tensor([0, 1, -100, 2]))
    (expected,) = torch.autograd.grad(terms["align"], criterion.alignment.low.weight)  # type: ignore[union-attr, arg-type]  # it has one
    for rank in (0, 1):
        found, met, gradient = torch.load(tmp_path / f"{rank}.pt")
        assert met == 2
        torch.testing.assert_close(gradient, expected)
        share = 2 * terms["align"].item() if rank == 0 else 0
        assert found["align"] == pytest.approx(share, rel=1e-6)


def test_autocast_is_left_to_the_parts() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compared() is None


def test_a_label_that_is_no_class_is_named() -> None:
    with pytest.raises(ValueError, match=r"target ranges from 0 to 5.*num_classes=5"):
        compared(target=torch.arange(6))
