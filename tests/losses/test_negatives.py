import pytest
import torch

from fdkd_lightning.losses.negatives import PublishedNegatives, pick_candidates

LABELS = [0, 0, 1, 2, 1, 0]


def test_all_samples_of_other_classes_are_drawn_once() -> None:
    found = PublishedNegatives(LABELS)(torch.tensor([2, 3]), 4)
    assert found.shape == (2, 4)
    assert set(found[0].tolist()) == {0, 1, 3, 5}
    assert len({*found[1].tolist()}) == 4
    assert {*found[1].tolist()} < {0, 1, 2, 4, 5}


def test_too_few_are_drawn_again() -> None:
    found = PublishedNegatives(LABELS)(torch.tensor([0]), 200)
    assert set(found[0].tolist()) == {2, 3, 4}


def test_what_has_no_negatives_is_named() -> None:
    with pytest.raises(ValueError, match="labels holds 2 samples of 1 classes"):
        PublishedNegatives([1, 1])
    with pytest.raises(TypeError, match=r"labels=0\.5 must be a whole number"):
        PublishedNegatives([0.5, 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="index holds 6, but labels has 6 samples"):
        PublishedNegatives(LABELS)(torch.tensor([6]), 2)


def test_candidates_are_picked_by_their_number() -> None:
    generator = torch.Generator().manual_seed(0)
    candidates = torch.rand(6, 50, generator=generator) < torch.linspace(0.02, 1, 6)[:, None]
    candidates[:, 7] = True
    numbers = torch.randint(2**62, (6, 200), generator=generator)
    found = pick_candidates(candidates, numbers)
    for row, positions, drawn in zip(candidates, found, numbers, strict=True):
        own = row.nonzero().flatten()
        assert torch.equal(positions, own[drawn % len(own)])
