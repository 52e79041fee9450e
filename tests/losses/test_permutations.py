import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.permutations import (
    Permutations,
    PublishedPermutations,
    given_permutation,
)


def test_the_published_ones_are_those_of_torch() -> None:
    torch.manual_seed(3)
    found = PublishedPermutations()(7)
    torch.manual_seed(3)
    assert torch.equal(found, torch.randperm(7))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (torch.tensor([0, 1]), r"gave torch.int64 \[2\]: let it return .* of 3 elements"),
        (torch.tensor([0.0, 1.0, 2.0]), "gave torch.float32"),
        (torch.tensor([0, 1, 1]), r"permutations\(3\) does not hold each of 0..2 once"),
        (torch.tensor([1, 2, 3]), "does not hold each of 0..2 once"),
    ],
)
def test_what_is_no_permutation_is_refused(wrong: Tensor, error: str) -> None:
    class Wrong(Permutations):
        def __call__(self, size: int) -> Tensor:
            return wrong

    with pytest.raises(ValueError, match=error):
        given_permutation(Wrong(), 3, torch.device("cpu"))
