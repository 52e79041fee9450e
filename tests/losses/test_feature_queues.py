from typing import cast

import torch
from torch import Tensor

from fdkd_lightning.losses.feature_queues import FeatureQueues
from fdkd_lightning.losses.permutations import Permutations


def test_they_start_with_directions_and_are_part_of_the_state() -> None:
    queues = FeatureQueues(2, 5, 3)
    torch.testing.assert_close(queues.rows.norm(dim=2), torch.ones(2, 5))
    assert queues.state_dict().keys() == {"rows", "pointer"}
    other = FeatureQueues(2, 5, 3)
    other.load_state_dict(queues.state_dict())
    assert torch.equal(other.rows, queues.rows)


def test_vectors_that_reach_the_end_become_the_last_ones() -> None:
    torch.manual_seed(0)
    queues = FeatureQueues(2, 7, 1)
    expected, pointers = [row[:, 0].tolist() for row in queues.rows], [0, 0]
    for _ in range(12):
        counts = torch.randint(0, 4, (2, 2))
        rows = torch.randn(2, 2, 3, 1)
        queues.enqueue(rows, counts)
        for batch, count in zip(rows, counts.tolist(), strict=True):
            for g, k in enumerate(count):
                added = batch[g, :k, 0].tolist()
                if pointers[g] + k >= 7:
                    expected[g][7 - k :] = added
                    pointers[g] = 0
                else:
                    expected[g][pointers[g] : pointers[g] + k] = added
                    pointers[g] += k
        assert queues.rows[..., 0].tolist() == expected
        assert queues.pointer.tolist() == pointers
    assert queues.rows.shape == (2, 7, 1)


def test_a_step_may_fill_a_queue() -> None:
    queues = FeatureQueues(1, 3, 1)
    queues.enqueue(torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1), torch.tensor([[3]]))
    assert queues.rows.flatten().tolist() == [1, 2, 3]
    assert queues.pointer.tolist() == [0]


def test_nothing_is_added_if_one_value_is_not_finite() -> None:
    for bad in (torch.nan, torch.inf):
        queues = FeatureQueues(2, 3, 2)
        before = queues.rows.clone()
        rows = torch.ones(2, 2, 1, 2)
        rows[1, 1, 0, 1] = bad
        queues.enqueue(rows, torch.ones(2, 2, dtype=torch.long))
        assert torch.equal(queues.rows, before)
        assert not queues.pointer.any()
        # What is not to be added may be anything.
        queues.enqueue(rows, torch.tensor([[1, 1], [1, 0]]))
        assert queues.pointer.tolist() == [2, 1]


def test_no_batches_leave_them() -> None:
    queues = FeatureQueues(2, 3, 2)
    queues.enqueue(torch.zeros(0, 2, 1, 2), torch.zeros(0, 2, dtype=torch.long))
    assert not queues.pointer.any()


def test_a_sample_has_the_same_positions_of_each_queue() -> None:
    class Backwards(Permutations):
        def __call__(self, size: int) -> Tensor:
            return torch.arange(size).flip(0)

    queues = FeatureQueues(2, 5, 3)
    found = queues.sample(2, Backwards())
    assert torch.equal(found[0], queues.rows[:, [4, 3]].flatten(0, 1))
    drawn = {tuple(row.tolist()) for row in cast(Tensor, queues.sample(5))[0]}
    assert drawn == {tuple(row.tolist()) for row in queues.rows.flatten(0, 1)}
    # A copy: the queue changes before the backward pass.
    queues.rows.zero_()
    assert found.any()
