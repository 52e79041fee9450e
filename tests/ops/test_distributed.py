from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fdkd_lightning.ops.distributed import (
    from_first_rank,
    gather_rows,
    row_counts,
    share_of_label,
)

PROCESS = """
import sys
import torch
import torch.distributed as dist
from fdkd_lightning.ops.distributed import (
    from_first_rank,
    gather_rows,
    row_counts,
    share_of_label,
)

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
rows = torch.arange(3.0 - rank).view(-1, 1) + 10 * rank
rows.requires_grad_()
found = gather_rows(rows)
(found.flatten() * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()
numbers = gather_rows(torch.full((2, 1, 2), rank))
none = gather_rows(torch.ones(rank, 4))
first = from_first_rank(torch.full((2, 3), rank + 5).T)
share = share_of_label(torch.tensor([[0, 3, 1], [-100, -100, 2]][rank]), torch.float64)
result = (row_counts(rows), found.detach(), rows.grad, numbers, none, first, share)
torch.save(result, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_one_process_has_its_own_rows() -> None:
    rows = torch.ones(3, 2, requires_grad=True)
    assert row_counts(rows) == [3]
    assert gather_rows(rows) is rows
    assert from_first_rank(rows) is rows
    assert share_of_label(torch.tensor([4, -100, 0, 0]), torch.float64).item() == 1 / 3
    assert share_of_label(torch.tensor([-100]), torch.float32).item() == 1


@pytest.mark.slow
def test_two_ranks_have_the_rows_of_both(in_processes: Callable[..., None], tmp_path: Path) -> None:
    in_processes(PROCESS, tmp_path)
    for rank, weights in ((0, [1.0, 2.0, 3.0]), (1, [4.0, 5.0])):
        found = torch.load(tmp_path / f"{rank}.pt")
        counts, rows, gradient, numbers, none, first, share = found
        assert counts == [3, 2]
        assert rows.flatten().tolist() == [0, 1, 2, 10, 11]
        # Doubled, so that the average over the two ranks is the gradient of a single process.
        assert gradient.flatten().tolist() == [2 * x for x in weights]
        assert numbers.dtype == torch.int64
        assert numbers.tolist() == [[[0, 0]], [[0, 0]], [[1, 1]], [[1, 1]]]
        assert none.tolist() == [[1.0] * 4]
        assert first.tolist() == [[5, 5]] * 3
        assert share.item() == 2 / 4  # two ranks, four labels
