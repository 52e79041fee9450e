from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.ops.cross_entropy import (
    cross_entropy,
    mean_over_ranks,
)


def by_hand(logits: Tensor, target: Tensor) -> float:
    """Mean of log-sum-exp less the label's score, over the labelled."""
    rows = np.moveaxis(logits.detach().double().numpy(), 1, -1).reshape(-1, logits.shape[1])
    labels = target.flatten().tolist()
    losses = [
        np.log(np.exp(row).sum()) - row[label]
        for row, label in zip(rows, labels, strict=True)
        if label != -100
    ]
    return sum(losses) / len(losses)


def test_a_value_worked_out_by_hand() -> None:
    # -log(3/4) and -log(1/4): the mean is log(16/3) / 2.
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0], [9.0, 0.0]]).log().double()
    loss = cross_entropy(logits, torch.tensor([0, 1, -100]))
    assert loss.item() == pytest.approx(np.log(16 / 3) / 2, rel=1e-7)


@pytest.mark.parametrize("shape", [(6, 5), (1, 2), (2, 5, 3, 4)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_mean_runs_over_labels_alone(
    shape: tuple[int, ...], dtype: torch.dtype, error: float
) -> None:
    logits = torch.randn(shape, dtype=torch.float64)
    target = torch.randint(shape[1], (shape[0], *shape[2:]))
    assert cross_entropy(logits.to(dtype), target).item() == pytest.approx(
        by_hand(logits, target), rel=error
    )
    if target.numel() > 1:
        target.view(-1)[::2] = -100
        assert cross_entropy(logits.to(dtype), target).item() == pytest.approx(
            by_hand(logits, target), rel=error
        )


def test_an_unlabelled_sample_gets_no_gradient() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    cross_entropy(logits, torch.tensor([1, -100, 2])).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(1).gt(0).tolist() == [True, False, True]


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3, 3)])
def test_without_any_label_loss_and_gradient_are_zero(shape: tuple[int, ...]) -> None:
    logits = torch.randn(shape, requires_grad=True)
    loss = cross_entropy(logits, torch.full((shape[0], *shape[2:]), -100))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_float32(dtype: torch.dtype) -> None:
    # 80,000 pixels: neither their number nor the sum of their losses fits into a half.
    logits = torch.randn(2, 4, 200, 200).to(dtype)
    target = torch.zeros(2, 200, 200, dtype=torch.long)
    loss = cross_entropy(logits, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(cross_entropy(logits.float(), target).item(), rel=1e-6)


def test_gradients() -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, -100, 2, 1])
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, target), logits)


@pytest.mark.parametrize(
    ("total", "count", "mean"), [(6.0, 4.0, 1.5), (-2.0, 1.0, -2.0), (0.0, 3.0, 0.0)]
)
def test_in_one_process_a_mean_is_the_sum_over_the_number(
    total: float, count: float, mean: float
) -> None:
    assert mean_over_ranks(torch.tensor(total), torch.tensor(count)).item() == mean


def test_the_mean_of_nothing_is_zero_with_zero_gradient() -> None:
    x = torch.randn(3, requires_grad=True)
    mean = mean_over_ranks((x * 0).sum(), torch.tensor(0.0))
    mean.backward()
    assert mean.item() == 0
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]


def test_a_mean_has_the_gradient_of_one_and_the_sums_precision() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)
    count = torch.tensor(4.0, dtype=torch.float64)
    mean = mean_over_ranks(x.sum(), count)
    mean.backward()
    assert mean.dtype == torch.float64
    assert mean.item() == 2.5
    assert x.grad is not None
    assert x.grad.tolist() == [0.25] * 4
    assert count.item() == 4


PROCESS = """
import sys
import torch
import torch.distributed as dist
from fdkd_lightning.ops.cross_entropy import cross_entropy, mean_over_ranks

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
means = []
for values in torch.load(f"{folder}/values.pt")[rank]:
    values.requires_grad_()
    count = torch.tensor(float(len(values)), dtype=torch.float64)
    mean = mean_over_ranks(values.sum(), count)
    mean.backward()
    means.append((mean.detach(), values.grad, count))
torch.save(means, f"{folder}/means{rank}.pt")
found = []
for x, weight, target in torch.load(f"{folder}/cases.pt"):
    weight.requires_grad_()
    loss = cross_entropy(x.chunk(2)[rank] @ weight, target.chunk(2)[rank])
    loss.backward()
    dist.all_reduce(weight.grad)
    dist.all_reduce(loss.detach())
    found.append((loss.detach() / 2, weight.grad / 2))
if rank == 0:
    torch.save(found, f"{folder}/found.pt")
dist.destroy_process_group()
"""


def two_processes(
    in_processes: Callable[..., None],
    folder: Path,
    cases: list[tuple[Tensor, ...]],
    values: list[list[Tensor]],
) -> Any:
    """Results of rank 0 for the cases, and of every rank for its values."""
    torch.save(cases, folder / "cases.pt")
    torch.save(values, folder / "values.pt")
    in_processes(PROCESS, folder)
    means = [torch.load(folder / f"means{rank}.pt") for rank in range(2)]
    return torch.load(folder / "found.pt"), means


@pytest.mark.slow
def test_the_shares_of_two_ranks_average_to_the_mean_of_both(
    in_processes: Callable[..., None], tmp_path: Path
) -> None:
    # 6 values beside 2, some beside none, none at all, one each.
    sizes = [(6, 2), (3, 0), (0, 4), (0, 0), (1, 1)]
    values = [[torch.randn(pair[rank], dtype=torch.float64) for pair in sizes] for rank in range(2)]
    _, means = two_processes(in_processes, tmp_path, [], values)
    for case, pair in enumerate(sizes):
        both = [x for rank in range(2) for x in values[rank][case].tolist()]
        expected = sum(both) / len(both) if both else 0.0
        shares = [means[rank][case][0].item() for rank in range(2)]
        assert sum(shares) / 2 == pytest.approx(expected, abs=1e-12)
        for rank in range(2):
            mean, gradient, count = means[rank][case]
            share = sum(values[rank][case].tolist())
            assert mean.item() == pytest.approx(2 * share / max(len(both), 1), abs=1e-12)
            # Averaged over the processes, as DDP does, 1 / (number of both).
            assert gradient.tolist() == pytest.approx([2 / max(len(both), 1)] * pair[rank])
            # The caller's number is left alone.
            assert count.item() == pair[rank]


@pytest.mark.slow
def test_two_ranks_have_the_gradient_of_one_process_with_the_whole_batch(
    in_processes: Callable[..., None], tmp_path: Path
) -> None:
    targets = [
        [0, 1, 2, 0, 1, 2, 0, 1],
        [0, -100, -100, -100, 1, 2, -100, 1],
        [0, 1, -100, 2, -100, -100, -100, -100],
        [-100] * 8,
    ]
    cases = [
        (
            torch.randn(8, 5, dtype=torch.float64),
            torch.randn(5, 3, dtype=torch.float64),
            torch.tensor(target),
        )
        for target in targets
    ]
    found, _ = two_processes(in_processes, tmp_path, cases, [[], []])
    for (x, weight, target), (value, gradient) in zip(cases, found, strict=True):
        loss = cross_entropy(x @ weight.requires_grad_(), target)
        loss.backward()
        torch.testing.assert_close(value, loss.detach(), rtol=0, atol=1e-12)
        torch.testing.assert_close(gradient, weight.grad, rtol=0, atol=1e-12)
