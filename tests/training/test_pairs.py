from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    AFDLoss,
    CompositeLoss,
    CRDLoss,
    DISTLoss,
    FDKDLoss,
    MFHLoss,
    RKDLoss,
    ShuffledPairs,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.training.missing_modality import samples_with, select
from fdkd_lightning.training.pairs import make_pairs
from fdkd_lightning.types import Batch, Output

SIZE, WIDTH, CLASSES = 5, 8, 3


def output(n: int = 4, dense: bool = False) -> Output:
    """Sample i holds nothing but i."""
    rows = torch.arange(float(n))
    if not dense:
        return Output(rows.view(n, 1).expand(n, 8), rows.view(n, 1).expand(n, 3), (), rows)
    maps = rows.view(n, 1, 1, 1).expand(n, 8, 2, 3)
    return Output(maps, maps[:, :3], (maps[:, :4],), rows, rows.view(n, 1, 1).expand(n, 2, 3))


def values(x: Any) -> list[list[float]]:
    """Of each tensor the values that occur."""
    if isinstance(x, Tensor):
        return [x.unique().tolist()]
    return [] if x is None else [found for part in x for found in values(part)]


def present(**has: list[int]) -> Batch:
    n = len(next(iter(has.values())))
    mask = {name: torch.tensor(flags, dtype=torch.bool) for name, flags in has.items()}
    return {"label": torch.arange(n), "present": mask}


def test_without_missing_samples_a_pair_is_what_it_was_given() -> None:
    student, teacher, target = output(), output(), torch.arange(4)
    for batch in ({"label": target}, {"label": target} | {"present": {"audio": target >= 0}}):
        (pair,) = make_pairs(student, {"audio": teacher}, batch, 4)
        assert pair is not None
        assert pair.student is student
        assert pair.teacher is teacher
        assert pair.target is target
        (free,) = make_pairs(student, {}, batch, 4)
        assert free is not None
        assert free.student is student
        assert free.teacher is None


@pytest.mark.parametrize("dense", [False, True])
def test_all_that_a_sample_has_is_left_out_with_it(dense: bool) -> None:
    batch = present(audio=[0, 1, 0, 1], text=[1, 1, 1, 0])
    if dense:
        batch["label"] = batch["label"].view(4, 1, 1).expand(4, 2, 3)
    teachers = {
        name: select(output(dense=dense), has.clone()) for name, has in batch["present"].items()
    }
    audio, text, visual = make_pairs(
        output(dense=dense), teachers | {"visual": output(dense=dense)}, batch, 4
    )
    for pair, expected in ((audio, [1, 3]), (text, [0, 1, 2]), (visual, [0, 1, 2, 3])):
        assert pair is not None
        found = values(pair)
        assert len(found) == (11 if dense else 7)
        assert all(each == expected for each in found)


def test_fewer_than_two_samples_teach_nothing_unless_the_data_give_no_more() -> None:
    batch = present(audio=[0, 1, 0], text=[0, 1, 1])
    teachers = {"audio": output(1), "text": output(2)}
    audio, text = make_pairs(output(3), teachers, batch, 3)
    assert audio is None
    assert text is not None
    assert make_pairs(output(3), {"audio": None}, batch, 3) == [None]
    assert make_pairs(None, {"audio": None, "text": None}, batch, 3) == [None, None]
    assert make_pairs(None, {}, batch, 3) == [None]
    # One is left of two; then one that is alone.
    lone = present(audio=[1])
    assert make_pairs(output(1), {"audio": output(1)}, lone, 2) == [None]
    assert make_pairs(output(1), {}, lone, 2) == [None]
    assert make_pairs(output(1), {"audio": output(1)}, lone, 1) != [None]


class Net(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.head = nn.Linear(SIZE, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x)
        maps = (features.view(len(x), WIDTH // 2, 2, 1),)
        return Output(features, self.head(features), maps)


class Memory(CRDLoss):
    """Each sample's negatives are the same on any rank: the slots that follow its own."""

    def _draw(self, slots: Tensor, labels: Tensor) -> Tensor:
        return (slots[:, None] + 1 + torch.arange(self.negatives)) % self.memory_size


def criterion() -> CompositeLoss:
    """Means, comparisons of samples, batch norm, counts over the ranks, a memory."""
    torch.manual_seed(3)
    soft = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(), lambda_soft=1.0)
    return CompositeLoss(
        {
            "fdkd": soft,
            "shuffled": ShuffledPairs(soft),
            "rkd": RKDLoss(),
            "dist": DISTLoss(),
            "afd": AFDLoss(size=4),
            "mfh": MFHLoss(joint_epochs=1, repeats=1),
            "crd": Memory(negatives=6, memory_size=16, dim=4),
        }
    )


# Of each step and rank, which samples have the student's modality and which the teacher's.
STEPS: list[list[list[tuple[int, int]]]] = [
    [[(1, 1), (1, 0), (1, 1), (1, 1)], [(1, 0), (1, 1), (1, 0), (1, 0)]],  # three and one
    [[(1, 0), (1, 0), (1, 0), (1, 0)], [(1, 1), (1, 0), (1, 1), (1, 1)]],  # none and three
    [[(1, 0), (1, 1), (1, 0), (1, 0)], [(1, 0), (1, 0), (1, 1), (1, 0)]],  # one and one
    [[(1, 1), (1, 1), (1, 1), (1, 1)], [(1, 1), (1, 0), (1, 1), (1, 0)]],  # all and two
    [[(0, 1), (0, 0), (0, 1), (0, 1)], [(1, 1), (0, 1), (1, 0), (1, 1)]],  # no student in the first
    [[(1, 0), (1, 0), (1, 0), (1, 0)], [(1, 1), (1, 0), (1, 0), (1, 0)]],  # a single one
    [[(1, 0), (1, 0), (1, 0), (1, 0)], [(1, 0), (1, 0), (1, 0), (1, 0)]],  # none at all
]


def step(number: int, ranks: list[int]) -> Batch:
    """The samples of these ranks; blanks are NaN."""
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(8, 2, SIZE, generator=generator, dtype=torch.float64)
    has = torch.tensor(STEPS[number], dtype=torch.bool).view(8, 2)
    x[~has] = torch.nan
    label = torch.tensor([0, 1, -100, 2, 1, -100, 0, 2])
    rows = [i for rank in ranks for i in range(4 * rank, 4 * rank + 4)]
    return {
        "visual": x[rows, 0],
        "audio": x[rows, 1],
        "label": label[rows],
        "index": torch.arange(8)[rows],
        "present": {"visual": has[rows, 0], "audio": has[rows, 1]},
    }


def learn(
    ranks: list[int], trained: bool
) -> list[tuple[dict[str, Tensor], list[Tensor | None], dict[str, Any]]]:
    """Of each step the terms, the gradients, and then the criterion's state."""
    student, teacher, loss = Net(1).double(), Net(2).double(), criterion()
    probe = Net(1)(torch.randn(2, SIZE))._replace(index=torch.arange(2))
    loss.build(probe, probe)
    loss.double()
    teacher.requires_grad_(trained)
    parameters = [*student.parameters(), *loss.parameters(), *teacher.parameters()]
    found = []
    for number in range(len(STEPS)):
        whole = step(number, ranks)
        own = samples_with(whole, "visual")
        seen = samples_with(own, "audio")
        n, m = len(own["label"]), len(seen["label"])
        output = student(own["visual"])._replace(index=own["index"]) if n else None
        teachers = {"audio": teacher(seen["audio"]) if n and m else None}
        (pair,) = make_pairs(output, teachers, own, len(whole["label"]))
        terms = {} if pair is None else loss(*pair)
        if pair is not None and trained:
            terms["mutual"] = F.mse_loss(pair.student.logits, pair.teacher.logits)
        gradients: list[Tensor | None] = [None] * len(parameters)
        if terms:
            total = torch.stack(list(terms.values())).sum()
            needed = [i for i, p in enumerate(parameters) if p.requires_grad]
            grads = torch.autograd.grad(total, [parameters[i] for i in needed], allow_unused=True)
            for i, gradient in zip(needed, grads, strict=True):
                gradients[i] = gradient
        # MFH's own is of random permutations.
        state = {k: v.clone() for k, v in loss.state_dict().items() if "mfh._extra" not in k}
        found.append(({k: v.detach() for k, v in terms.items()}, gradients, state))
    return found


def learn_on(rank: int, folder: Path) -> None:
    """Learn with this rank's samples; then gather outputs that are whole, or of other shapes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save([learn([rank], trained) for trained in (False, True)], folder / f"{rank}.pt")
    whole = output(3)
    (pair,) = make_pairs(whole, {"audio": whole}, present(audio=[1, 1, 1]), 3)
    assert pair is not None
    assert pair.student is pair.teacher is whole
    batch = present(audio=[1, 1, 1 - rank])
    batch["label"] = batch["label"][:, None, None].expand(3, 2 + rank, 2)
    maps = Output(torch.ones(3, 8, 2 + rank, 2), torch.ones(3, 3, 2 + rank, 2))
    with pytest.raises(ValueError, match="of different shapes"):
        make_pairs(maps, {"audio": select(maps, batch["present"]["audio"])}, batch, 3)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_find_what_one_finds_in_both_batches(
    on_two_ranks: Callable[..., None], tmp_path: Path
) -> None:
    on_two_ranks(tmp_path, learn_on)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for trained in (False, True):
        alone = learn([0, 1], trained)
        assert [bool(terms) for terms, _, _ in alone] == [True] * 5 + [False] * 2
        for one, *two in zip(alone, *(rank[trained] for rank in ranks), strict=True):
            for terms, _, state in two:
                torch.testing.assert_close(terms, one[0], rtol=1e-9, atol=1e-12)
                torch.testing.assert_close(state, one[2], rtol=1e-9, atol=1e-12)
            for gradient, *shares in zip(one[1], *(each[1] for each in two), strict=True):
                # As DDP averages, with zero for what did not run.
                mean = sum(torch.zeros(1) if share is None else share for share in shares) / 2
                expected = torch.zeros(1) if gradient is None else gradient
                torch.testing.assert_close(
                    *torch.broadcast_tensors(torch.as_tensor(mean).double(), expected.double()),
                    rtol=1e-8,
                    atol=1e-12,
                )
