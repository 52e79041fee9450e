from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    CompositeLoss,
    DistillationLoss,
    DISTLoss,
    FDKDLoss,
    GlobalBatch,
    HintLoss,
    InfoNCELoss,
    KDLoss,
    PKDLoss,
    RKDLoss,
    SPLoss,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.types import Output

# Of five samples in all: parts of different sizes, and the same samples on both ranks.
PARTS = {"own": [[0, 1, 2], [3, 4]], "same": [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]}


class Net(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(6, 8, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Output:
        features = (x @ self.weight).tanh()
        return Output(features, 3 * features[:, :3], (features.view(-1, 2, 2, 2),))


def criteria() -> dict[str, DistillationLoss]:
    return {
        "dist": GlobalBatch(DISTLoss()),
        "pkd": GlobalBatch(PKDLoss()),
        "sp": GlobalBatch(SPLoss()),
        "rkd": GlobalBatch(RKDLoss()),
        "hint": GlobalBatch(HintLoss(stage=0)),
        # These count, or gather, over the ranks themselves.
        "fdkd": GlobalBatch(FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead())),
        "infonce": GlobalBatch(InfoNCELoss()),
        # One of two.
        "composite": CompositeLoss({"dist": GlobalBatch(DISTLoss()), "infonce": InfoNCELoss()}),
    }


def learn(rows: list[int], loss: DistillationLoss) -> list[Any]:
    """The terms, and the gradients of the student and of the criterion's parts."""
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student, teacher = Net(1), Net(2).requires_grad_(False)
    pair = student(x[0, rows]), teacher(x[1, rows])
    torch.manual_seed(0)
    loss.build(*pair)
    terms = loss.double()(*pair, torch.tensor([0, 1, -100, 2, 1])[rows])
    sum(terms.values()).backward()
    weights = [*student.parameters(), *loss.parameters()]
    return [{k: v.detach() for k, v in terms.items()}, [p.grad for p in weights]]


def learn_on(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = {
        (way, name): learn(parts[rank], loss)
        for way, parts in PARTS.items()
        for name, loss in criteria().items()
    }
    found["alone", "dist"] = learn(PARTS["own"][rank], DISTLoss())
    output = Output(torch.zeros(2, 3 + rank), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"rows of shapes \[2, 3\], \[2, 4\].* one size"):
        GlobalBatch(KDLoss())(output, output, torch.tensor([0, 1]))
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_learns_from_all_samples(
    on_two_ranks: Callable[..., None], tmp_path: Path
) -> None:
    on_two_ranks(tmp_path, learn_on)
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    # Without it the terms are other ones.
    alone = learn(PARTS["same"][0], DISTLoss())[0]["intra"]
    assert all((found["alone", "dist"][0]["intra"] - alone).abs() > 0.01 for found in both)
    for name, loss in criteria().items():
        terms, gradients = learn(PARTS["same"][0], loss)
        for way in PARTS:
            shares_of_terms, shares = zip(*(found[way, name] for found in both), strict=True)
            mean = {k: sum(share[k] for share in shares_of_terms) / 2 for k in terms}
            torch.testing.assert_close(mean, terms, rtol=1e-10, atol=1e-12)
            for expected, *parts in zip(gradients, *shares, strict=True):
                # As DDP averages.
                torch.testing.assert_close(sum(parts) / 2, expected, rtol=1e-9, atol=1e-12)


def test_on_one_device_it_is_the_criterion() -> None:
    terms, gradients = learn([0, 1, 2], GlobalBatch(DISTLoss()))
    expected = learn([0, 1, 2], DISTLoss())
    assert terms == expected[0]
    assert torch.equal(gradients[0], expected[1][0])


def test_without_a_teacher_the_criterion_says_what_it_needs() -> None:
    student = Net(1)(torch.ones(2, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match="DISTLoss has no term without a teacher"):
        GlobalBatch(DISTLoss())(student, None, torch.tensor([0, 1]))
