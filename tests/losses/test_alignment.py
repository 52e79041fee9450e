from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.alignment import (
    SharedAlignmentHead,
    alignment_loss,
    scores_at,
    soft_alignment_loss,
)
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


# Learning from the teacher's predictions.


def log_softmax(row: np.ndarray) -> np.ndarray:
    return np.asarray(row - np.log(np.exp(row).sum()))


def soft_by_hand(
    student: Bands,
    teacher: Bands,
    prediction: Tensor,
    targets: tuple[Tensor, Tensor],
    temperature: float,
) -> float:
    """T^2 times the sum over networks and bands of the mean of p (log p - log q)."""

    def rows(x: Tensor) -> np.ndarray:
        return np.moveaxis(x.detach().double().numpy(), 1, -1).reshape(-1, x.shape[1])

    total = 0.0
    for pair, target in zip((student, teacher), targets, strict=True):
        for band in pair:
            losses = []
            for q, p, label in zip(
                rows(band) / temperature,
                rows(prediction) / temperature,
                target.flatten().tolist(),
                strict=True,
            ):
                if label == -100:
                    log_p = log_softmax(p)
                    losses.append(sum(np.exp(log_p) * (log_p - log_softmax(q))))
            total += sum(losses) / len(losses) if losses else 0.0
    return temperature**2 * total


def soft_case(*shape: int) -> tuple[Bands, Bands, Tensor, Tensor]:
    """Scores, a prediction, and targets of which every second is missing."""
    torch.manual_seed(0)
    target = torch.randint(shape[1], (shape[0], *shape[2:]))
    target.view(-1)[::2] = -100
    return bands(*shape), bands(*shape), torch.randn(shape, dtype=torch.float64), target


def test_a_soft_value_worked_out_by_hand() -> None:
    # The teacher says (3/4, 1/4). Of the four scores one is (1/2, 1/2) and three agree with it;
    # the labelled sample does not count.
    certain = torch.tensor([[3.0, 1.0], [1.0, 9.0]], dtype=torch.float64).log()
    student = Bands(torch.zeros(2, 2, dtype=torch.float64), certain)
    teacher = Bands(certain + 5, certain)
    divergence = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)
    found = soft_alignment_loss(student, teacher, certain, torch.tensor([-100, 0]))
    assert found.item() == pytest.approx(divergence, abs=1e-14)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(5, 2), (4, 7), (2, 3, 2, 3)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_soft_loss_is_that_of_the_formula(
    shape: tuple[int, ...], temperature: float, dtype: torch.dtype, error: float
) -> None:
    student, teacher, prediction, target = soft_case(*shape)
    expected = soft_by_hand(student, teacher, prediction, (target, target), temperature)
    narrow = [Bands(*(band.to(dtype) for band in pair)) for pair in (student, teacher)]
    found = soft_alignment_loss(*narrow, prediction.to(dtype), target, temperature=temperature)
    assert found.dtype == dtype
    assert found.item() == pytest.approx(expected, rel=error)


def test_the_default_temperature_is_1() -> None:
    case = soft_case(4, 3)
    assert soft_alignment_loss(*case) == soft_alignment_loss(*case, None, 1.0)


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 2, 3)])
def test_each_network_goes_by_its_own_labels(shape: tuple[int, ...]) -> None:
    student, teacher, prediction, target = soft_case(*shape)
    # Three times as many without a label: each mean has its own divisor.
    other = torch.full_like(target, -100)
    other.view(-1)[0] = 1
    expected = soft_by_hand(student, teacher, prediction, (target, other), 1.0)
    found = soft_alignment_loss(student, teacher, prediction, target, other)
    assert found.item() == pytest.approx(expected, rel=1e-10)
    assert expected != pytest.approx(
        soft_by_hand(student, teacher, prediction, (target, target), 1.0), rel=1e-3
    )


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 3)])
def test_only_unlabelled_samples_learn_and_the_prediction_does_not(
    shape: tuple[int, ...],
) -> None:
    student, teacher, prediction, target = soft_case(*shape)
    for x in (*student, *teacher, prediction):
        x.requires_grad_()
    soft_alignment_loss(student, teacher, prediction, target).backward()
    assert prediction.grad is None
    for band in (*student, *teacher):
        assert band.grad is not None
        assert torch.equal(band.grad.abs().sum(1) > 0, target == -100)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 3)])
def test_where_all_have_labels_the_soft_loss_is_zero_with_zero_gradient(
    shape: tuple[int, ...],
) -> None:
    student, teacher, prediction, target = soft_case(*shape)
    for x in (*student, *teacher):
        x.requires_grad_()
    loss = soft_alignment_loss(student, teacher, prediction, target.clamp_min(0))
    loss.backward()
    assert loss.item() == 0
    for band in (*student, *teacher):
        assert band.grad is not None
        assert band.grad.count_nonzero() == 0
        assert band.grad.isfinite().all()


def test_certain_predictions_stay_finite() -> None:
    scores = torch.tensor([[1e4, -1e4], [1e4, -1e4]], requires_grad=True)
    prediction = torch.tensor([[-1e4, 1e4], [1e4, -1e4]])
    pair = Bands(scores, scores)
    loss = soft_alignment_loss(pair, pair, prediction, torch.tensor([-100, -100]))
    loss.backward()
    # Half of the samples is as wrong as can be, in each of four.
    assert loss.item() == pytest.approx(4 * 2e4 / 2)
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_half_precision_scores_are_compared_in_float32() -> None:
    student, teacher, prediction, target = soft_case(4, 3)
    half: list[Any] = [Bands(*(x.bfloat16() for x in pair)) for pair in (student, teacher)]
    wide: list[Any] = [Bands(*(x.float() for x in pair)) for pair in half]
    prediction = prediction.bfloat16()
    found = soft_alignment_loss(*half, prediction, target)
    assert found.dtype == torch.float32
    expected = soft_alignment_loss(*wide, prediction.float(), target)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_soft_gradients() -> None:
    student, teacher, prediction, target = soft_case(4, 3)
    scores = [x.requires_grad_() for x in (*student, *teacher)]

    def loss(*scores: Tensor) -> Tensor:
        pairs = Bands(*scores[:2]), Bands(*scores[2:])
        return soft_alignment_loss(*pairs, prediction, target, temperature=2.0)

    assert torch.autograd.gradcheck(loss, scores)


def test_scores_of_fewer_places_than_labels_are_interpolated() -> None:
    coarse = torch.tensor([[0.0, 8.0], [4.0, 4.0]]).repeat(1, 3, 1, 1)
    fine = scores_at(coarse, torch.Size([4, 4]))
    # Positions lie in the middle of what they stand for: a quarter and three quarters between.
    assert fine[0, 0, 0].tolist() == [0.0, 2.0, 6.0, 8.0]
    assert fine[0, 0, -1].tolist() == [4.0, 4.0, 4.0, 4.0]
    assert scores_at(coarse, torch.Size([2, 2])) is coarse
    vectors = torch.zeros(2, 5)
    assert scores_at(vectors, torch.Size([])) is vectors


@pytest.mark.parametrize("shape", [(2, 3, 1, 5), (2, 3, 2, 4), (2, 3, 1, 1)])
def test_scores_of_places_that_share_a_label_are_averaged(shape: tuple[int, ...]) -> None:
    student, teacher = bands(*shape), bands(*shape)
    target = torch.tensor([2, -100])
    # Of the labelled sample alone: -log softmax of the mean of its positions' scores.
    expected = 0.0
    for scores in (*student, *teacher):
        mean = scores[0].numpy().reshape(3, -1).mean(1)
        expected += np.log(np.exp(mean).sum()) - mean[2]
    assert alignment_loss(student, teacher, target).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shape", [(4, 3, 1, 5), (4, 3, 2, 3)])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_their_soft_loss_is_that_of_the_means(shape: tuple[int, ...], temperature: float) -> None:
    student, teacher, *_ = soft_case(*shape)
    prediction = torch.randn(4, 3, dtype=torch.float64)
    target = torch.tensor([-100, 1, -100, 0])
    means = [
        Bands(*(torch.from_numpy(x.numpy().reshape(4, 3, -1).mean(2)) for x in pair))
        for pair in (student, teacher)
    ]
    expected = soft_by_hand(*means, prediction, (target, target), temperature)
    found = soft_alignment_loss(student, teacher, prediction, target, temperature=temperature)
    assert found.item() == pytest.approx(expected, rel=1e-10)
    assert expected > 0


def test_a_head_of_tokens_is_a_class_activation_map() -> None:
    # ReLU, weights and mean by hand: tokens (1, -2) and (3, 4) under rows (1, 0) and (1, 1).
    head = SharedAlignmentHead(2, 2)
    for part in (head.low, head.high):
        assert part.weight is not None
        assert part.bias is not None
        part.weight.data = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        part.bias.data = torch.tensor([0.0, 0.5])
    tokens = torch.tensor([[1.0, 3.0], [-2.0, 4.0]]).view(1, 2, 1, 2)
    scores = head(Bands(tokens, tokens)).low
    assert scores.flatten(2).tolist() == [[[1.0, 3.0], [1.5, 7.5]]]
    assert scores_at(scores, torch.Size([])).tolist() == [[2.0, 4.5]]


def test_each_place_learns_from_the_one_label() -> None:
    student = [x.requires_grad_() for x in bands(2, 3, 1, 4)]
    assert torch.autograd.gradcheck(
        lambda *x: alignment_loss(Bands(*x), None, torch.tensor([0, 2])), student
    )
    alignment_loss(Bands(*student), None, torch.tensor([0, -100])).backward()
    for x in student:
        assert x.grad is not None
        assert (x.grad[0] != 0).all()
        assert x.grad[1].count_nonzero() == 0
        assert torch.equal(x.grad[0, :, 0, 0], x.grad[0, :, 0, 3])


def test_scores_of_whole_samples_do_not_meet_labels_of_places() -> None:
    scores = Bands(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\[2, 3\] of whole samples meet labels of \[4, 5\]"):
        alignment_loss(scores, None, torch.zeros(2, 4, 5, dtype=torch.long))


def test_a_map_of_scores_meets_a_finer_map_of_labels() -> None:
    scores = Bands(*torch.randn(2, 2, 4, 3, 5))
    target = torch.randint(0, 4, (2, 12, 20))
    target[:, :3] = -100
    fine = Bands(*(scores_at(band, torch.Size([12, 20])) for band in scores))
    assert torch.equal(alignment_loss(scores, scores, target), alignment_loss(fine, fine, target))
    prediction = torch.randn(2, 4, 12, 20)
    found = soft_alignment_loss(scores, scores, prediction, target)
    assert torch.equal(found, soft_alignment_loss(fine, fine, prediction, target))
    assert found > 0


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (None, TypeError, "student's high scores is of type NoneType"),
        (torch.zeros(4), ValueError, r"student's high scores has shape \[4\]: give \[N, K\]"),
    ],
)
def test_scores_of_another_form_are_named(
    scores: Any, error: type[Exception], message: str
) -> None:
    student = Bands(torch.zeros(4, 3), scores)
    with pytest.raises(error, match=message):
        alignment_loss(student, None, torch.zeros(4, dtype=torch.long))
