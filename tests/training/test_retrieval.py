from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fdkd_lightning.training import retrieval
from fdkd_lightning.training.retrieval import RecallAtK, recall_at_k


def by_hand(query: np.ndarray, gallery: np.ndarray, k: int) -> float:
    hits = 0
    for i, q in enumerate(query):
        cosines = [float(q @ g / np.sqrt((q @ q) * (g @ g))) for g in gallery]
        hits += sum(cosines[j] >= cosines[i] for j in range(len(gallery)) if j != i) < k
    return hits / len(query)


def pairs(n: int, d: int = 6, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(n, d, generator=generator)
    return query, query + noise * torch.randn(n, d, generator=generator)


@pytest.mark.parametrize("rows", [1024, 7])
@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_it_is_the_share_by_hand(monkeypatch: pytest.MonkeyPatch, k: int, rows: int) -> None:
    monkeypatch.setattr(retrieval, "ROWS", rows)
    query, gallery = pairs(30)
    expected = by_hand(query.double().numpy(), gallery.double().numpy(), k)
    assert recall_at_k(query, gallery, k).item() == pytest.approx(expected)
    assert 0.2 < expected < 1 or k == 30


def test_a_value_worked_out_by_hand() -> None:
    # Cosines of the queries (1, 0), (0, 1) and (1, 1) to the gallery (1, 1), (0, 3), (1, -1):
    # ranks 2 (two of 0.71), 1 and 3.
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    gallery = torch.tensor([[1.0, 1.0], [0.0, 3.0], [1.0, -1.0]])
    found = [recall_at_k(query, gallery, k).item() for k in (1, 2, 3)]
    assert found == pytest.approx([1 / 3, 2 / 3, 1])


def test_length_does_not_count_and_direction_does() -> None:
    query, gallery = pairs(20)
    scale = torch.rand(20, 1) + 0.1
    assert recall_at_k(scale * query, gallery / scale) == recall_at_k(query, gallery)
    assert recall_at_k(query, query) == 1
    # The furthest of all is last.
    assert recall_at_k(query, -query, 19) == 0


def test_the_two_ways_differ() -> None:
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    gallery = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    # Each query finds its own; of the gallery the second is nearer to the first query.
    assert [recall_at_k(query, gallery).item(), recall_at_k(gallery, query).item()] == [1.0, 0.5]


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, float("nan"), float("inf")])
@pytest.mark.parametrize("d", [2, 512])
def test_embeddings_that_are_all_the_same_find_nothing(value: float, d: int) -> None:
    query, _ = pairs(50, d)
    same = torch.full((50, d), value)
    assert recall_at_k(query, same, 49) == 0
    assert recall_at_k(same, query, 1) <= 1 / 50
    assert recall_at_k(same, same, 49) == 0


def test_a_pair_that_occurs_twice_is_a_tie() -> None:
    query, gallery = pairs(10, noise=0.0)
    twice = query.repeat(2, 1), gallery.repeat(2, 1)
    assert recall_at_k(*twice, 1) == 0
    assert recall_at_k(*twice, 2) == 1


def test_half_precision_and_autocast_are_compared_in_float32() -> None:
    query, gallery = (x.bfloat16() for x in pairs(200, noise=0.7))
    expected = recall_at_k(query.float(), gallery.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert recall_at_k(query, gallery) == expected
        assert recall_at_k(query.float(), gallery.float()) == expected


def test_chance_is_k_over_n() -> None:
    generator = torch.Generator().manual_seed(1)
    query, gallery = torch.randn(2, 2000, 16, generator=generator)
    # Its standard deviation is sqrt(0.05 * 0.95 / 2000) < 0.005.
    assert recall_at_k(query, gallery, 100).item() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("k", [1, 3])
def test_the_metric_has_the_gallery_of_all_batches(k: int) -> None:
    query, gallery = pairs(23)
    metric = RecallAtK(k)
    for part in range(0, 23, 5):
        metric.update(query[part : part + 5], gallery[part : part + 5])
    assert metric.compute() == recall_at_k(query, gallery, k)
    assert metric.compute() < metric(query[:3], gallery[:3])  # a batch alone is easier
    metric.reset()
    metric.update(query[:4].requires_grad_(), gallery[:4].requires_grad_())
    assert metric.compute() == recall_at_k(query[:4], gallery[:4], k)
    # What is kept does not keep the graphs of all batches.
    assert not any(x.requires_grad for x in (*metric.query, *metric.gallery))


@pytest.mark.parametrize(
    ("shapes", "k", "message"),
    [
        (((3, 4), (4, 4)), 1, r"query has shape \[3, 4\], gallery \[4, 4\]"),
        (((3, 4, 2), (3, 4, 2)), 1, r"query has shape .*: give \[N, D\]"),
        (((3, 4), (3, 4)), 0, "k=0 must be at least 1"),
        (((0, 4), (0, 4)), 1, "query has no rows"),
    ],
)
def test_what_does_not_fit_is_named(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], k: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        recall_at_k(torch.ones(shapes[0]), torch.ones(shapes[1]), k)


def test_the_metric_checks_too() -> None:
    with pytest.raises(ValueError, match="k=0 must be at least 1"):
        RecallAtK(0)
    with pytest.raises(ValueError, match="in the same order"):
        RecallAtK().update(torch.ones(3, 4), torch.ones(2, 4))


PROCESS = """
import sys
import torch
import torch.distributed as dist
from fdkd_lightning.training.retrieval import RecallAtK

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
query, gallery = torch.load(f"{folder}/case.pt")
metric = RecallAtK(2)
for part in ([slice(0, 5), slice(5, 12)], [slice(12, 19)])[rank]:
    metric.update(query[part], gallery[part])
torch.save(metric.compute(), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_search_the_gallery_of_both(
    in_processes: Callable[..., None], tmp_path: Path
) -> None:
    query, gallery = pairs(19)
    torch.save((query, gallery), tmp_path / "case.pt")
    in_processes(PROCESS, tmp_path)
    expected = recall_at_k(query, gallery, 2)
    assert 0 < expected < 1
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)] == [expected] * 2
