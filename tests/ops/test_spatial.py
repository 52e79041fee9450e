import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fdkd_lightning.ops.spatial import is_sequence, mean_over_positions, resize


def tokens(*texts: list[float], length: int) -> torch.Tensor:
    """Texts of two channels, the second ten times the first, padded with zeros."""
    rows = [text + [0.0] * (length - len(text)) for text in texts]
    first = torch.tensor(rows, dtype=torch.float64)
    return torch.stack([first, 10 * first], 1).unsqueeze(2)


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 2), True), ((1, 1), False), ((2, 1), False), ((3, 5), False)]
)
def test_a_sequence_is_one_row_of_several(size: tuple[int, int], expected: bool) -> None:
    assert is_sequence(torch.Size(size)) == expected


def test_the_mean_of_tokens_leaves_padding_out() -> None:
    x = tokens([1.0, 2.0, 6.0], [4.0], [], length=5)
    assert mean_over_positions(x).tolist() == [[3.0, 30.0], [4.0, 40.0], [0.0, 0.0]]


def test_a_token_with_one_channel_that_is_zero_is_no_padding() -> None:
    x = torch.tensor([[[[0.0, 4.0]], [[2.0, 0.0]]]])
    assert mean_over_positions(x).tolist() == [[2.0, 1.0]]


def test_the_mean_of_a_grid_is_that_of_all_positions() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).view(1, 1, 2, 2)
    assert mean_over_positions(x).tolist() == [[1.0]]


def by_hand(text: list[float], length: int) -> list[float]:
    """A triangle around each new position, as wide as a position of the coarser grid."""
    found = []
    n = len(text)
    for j in range(length):
        centre = (j + 0.5) * n / length - 0.5
        weight = [max(0.0, 1 - abs(k - centre) / max(1.0, n / length)) for k in range(n)]
        found.append(sum(w * x for w, x in zip(weight, text, strict=True)) / sum(weight))
    return found


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 16])
def test_each_text_is_stretched_over_the_length_by_itself(length: int) -> None:
    texts = [[1.0, -2.0, 6.0, 3.0, 8.0, 5.0, 1.0], [4.0, 9.0], [7.0]]
    found = resize(tokens(*texts, length=7), torch.Size([1, length]))
    expected = np.array([by_hand(text, length) for text in texts])
    assert found.shape == (3, 2, 1, length)
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[:, 1, 0], 10 * expected, rtol=0, atol=1e-11)


def test_a_value_worked_out_by_hand() -> None:
    # Two tokens over four positions: centres -1/4, 1/4, 3/4 and 5/4.
    found = resize(tokens([2.0, 6.0], length=3), torch.Size([1, 4]))
    assert found[0, 0, 0].tolist() == [2.0, 3.0, 5.0, 6.0]


def test_where_padding_is_makes_no_difference() -> None:
    right = tokens([1.0, 5.0, 2.0], length=6)
    left, within = right[..., [3, 4, 5, 0, 1, 2]], right[..., [3, 0, 4, 1, 2, 5]]
    for size in (torch.Size([1, 2]), torch.Size([1, 6]), torch.Size([1, 9])):
        for moved in (left, within, right[..., :3]):
            torch.testing.assert_close(resize(moved, size), resize(right, size))


def test_a_text_that_fills_its_length_stays_as_it_is() -> None:
    x = torch.randn(3, 4, 1, 6)
    assert torch.equal(resize(x, torch.Size([1, 6])), x)


@pytest.mark.parametrize("size", [(1, 2), (1, 13), (2, 3), (4, 9), (9, 4), (11, 17)])
@pytest.mark.parametrize("before", [(1, 6), (4, 6), (7, 1)])
def test_without_padding_it_is_what_torch_does(
    before: tuple[int, int], size: tuple[int, int]
) -> None:
    x = torch.randn(3, 4, *before, dtype=torch.float64)
    expected = F.interpolate(x, size, mode="bilinear", antialias=True)
    torch.testing.assert_close(resize(x, torch.Size(size)), expected)


def test_a_text_of_padding_alone_stays_zero() -> None:
    x = tokens([], [1.0], length=3).requires_grad_()
    found = resize(x, torch.Size([1, 5]))
    found.sum().backward()
    assert found[0].count_nonzero() == 0
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad[0].count_nonzero() == 0


def test_a_finer_grid_lies_between_the_positions() -> None:
    coarse = torch.tensor([[0.0, 8.0], [4.0, 4.0]]).view(1, 1, 2, 2)
    fine = resize(coarse, torch.Size([4, 4]))
    assert fine[0, 0, 0].tolist() == [0.0, 2.0, 6.0, 8.0]
    assert fine[0, 0, -1].tolist() == [4.0] * 4
    assert resize(coarse, torch.Size([2, 2])) is coarse


def test_in_a_coarser_grid_every_position_counts() -> None:
    x = torch.randn(1, 2, 9, 12, dtype=torch.float64, requires_grad=True)
    resize(x, torch.Size([2, 3])).sum().backward()
    assert x.grad is not None
    assert (x.grad > 0).all()


def test_a_single_position_fills_the_grid() -> None:
    x = torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    for size in ([4, 6], [1, 6]):
        found = resize(x, torch.Size(size))
        assert found.shape == (1, 2, *size)
        torch.testing.assert_close(found, x.expand_as(found))


@pytest.mark.parametrize("shape", [(2, 3, 1, 5), (2, 3, 4, 5)])
def test_gradients(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    if shape[2] == 1:
        x[0, :, :, 3:] = 0
        rows = x.requires_grad_()
        # Where a token is padding it is so by being exactly zero: a step away it would be none.
        resize(rows, torch.Size([1, 3])).sum().backward()
        assert rows.grad is not None
        assert rows.grad[0, :, :, 3:].count_nonzero() == 0
        x = x.detach()[..., :3]
    assert torch.autograd.gradcheck(
        lambda x: resize(x, torch.Size([shape[2], 4])), x.requires_grad_()
    )
