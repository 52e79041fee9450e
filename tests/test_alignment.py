import numpy as np
import pytest
import torch

from fdkd_lightning.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.types import Bands


def bands(*shape: int) -> Bands:
    return Bands(*torch.randn(2, *shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(4, 7), (2, 7, 3, 2)])
def test_each_band_has_its_own_relu_and_linear(shape: tuple[int, ...]) -> None:
    head = SharedAlignmentHead(7, 3).double()
    x = bands(*shape)
    for name in ("low", "high"):
        weight = head.get_parameter(f"{name}.weight").detach().numpy()
        bias = head.get_parameter(f"{name}.bias").detach().numpy()
        rectified = np.maximum(np.moveaxis(getattr(x, name).numpy(), 1, -1), 0)
        expected = np.moveaxis(rectified @ weight.T + bias, -1, 1)
        found = getattr(head(x), name).detach()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_build_sizes_both_bands() -> None:
    head = SharedAlignmentHead()
    assert not list(head.parameters())
    head.build(7, 3)
    assert {name: list(p.shape) for name, p in head.named_parameters()} == {
        "low.weight": [3, 7],
        "low.bias": [3],
        "high.weight": [3, 7],
        "high.bias": [3],
    }


def test_build_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match="3 does not fit the models, which need 4"):
        SharedAlignmentHead(num_classes=3).build(7, 4)


def test_a_state_dict_sizes_an_unbuilt_head() -> None:
    head, other = SharedAlignmentHead(7, 3), SharedAlignmentHead()
    other.load_state_dict(head.state_dict())
    x = Bands(*torch.randn(2, 4, 7))
    assert torch.equal(other(x).low, head(x).low)
    assert torch.equal(other(x).high, head(x).high)


@pytest.mark.parametrize(("with_teacher", "count"), [(True, 4), (False, 2)])
def test_undecided_scores_cost_log_k_each(with_teacher: bool, count: int) -> None:
    zeros = Bands(torch.zeros(2, 5), torch.zeros(2, 5))
    loss = alignment_loss(zeros, zeros if with_teacher else None, torch.tensor([0, -100]))
    assert loss.item() == pytest.approx(count * np.log(5), rel=1e-6)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_loss_is_the_sum_of_four_cross_entropies(
    shape: tuple[int, ...], dtype: torch.dtype, error: float
) -> None:
    student, teacher = bands(*shape), bands(*shape)
    target = torch.randint(3, (shape[0], *shape[2:]))
    target.view(-1)[0] = -100
    expected = 0.0
    for logits in (*student, *teacher):
        rows = np.moveaxis(logits.numpy(), 1, -1).reshape(-1, 3)
        losses = [
            np.log(np.exp(row).sum()) - row[label]
            for row, label in zip(rows[1:], target.flatten().tolist()[1:], strict=True)
        ]
        expected += np.mean(losses)
    narrow = [Bands(*(band.to(dtype) for band in pair)) for pair in (student, teacher)]
    assert alignment_loss(*narrow, target).item() == pytest.approx(expected, rel=error)
