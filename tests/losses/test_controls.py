from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.controls import LabelSmoothingLoss, ShuffledPairs, next_of_group
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.feature import FeatureLoss
from fdkd_lightning.types import Output


class Watch(DistillationLoss):
    """Keeps the arguments of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Output, Output | None, Tensor]] = []

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        self.seen.append((student, teacher, target))
        return {"watched": student.features.sum()}


def numbered(n: int, logits: Tensor | None = None, size: tuple[int, ...] = ()) -> Output:
    """Everything of sample i is i."""
    i = torch.arange(n, dtype=torch.float64)
    features, stage = (
        i.view(n, 1, *(1 for _ in size)).expand(n, channels, *size) for channels in (4, 2)
    )
    logits = torch.zeros(n, 3, *size) if logits is None else logits
    return Output(features, logits, (stage,), torch.arange(n))


def partners(
    target: Tensor, within: Any = "all", logits: Tensor | None = None
) -> tuple[list[int], Output]:
    """Whose teacher output each sample met, and that output."""
    watch = Watch()
    teacher = numbered(len(target), logits, tuple(target.shape[1:]))
    ShuffledPairs(watch, within)(teacher, teacher, target)
    _, met, _ = watch.seen[0]
    assert met is not None
    return [int(row.flatten()[0]) for row in met.features], met


# The shuffling.


@pytest.mark.parametrize("n", [2, 3, 32])
def test_each_teacher_output_goes_to_another_sample(n: int) -> None:
    met, _ = partners(torch.zeros(n, dtype=torch.long))
    assert sorted(met) == list(range(n))
    assert all(other != own for own, other in enumerate(met))


@pytest.mark.parametrize("seed", range(5))
def test_within_class_the_class_stays_and_the_sample_does_not(seed: int) -> None:
    target = torch.randint(4, (20,), generator=torch.Generator().manual_seed(seed))
    met, _ = partners(target, "class")
    assert sorted(met) == list(range(20))
    assert target[met].tolist() == target.tolist()
    sizes = target.bincount()[target]
    for own, other in enumerate(met):
        assert (own == other) == (int(sizes[own]) == 1)


def test_an_unlabelled_sample_counts_as_what_the_teacher_takes_it_for() -> None:
    target = torch.tensor([0, -100, 1, -100, 1])
    # The teacher takes sample 1 for class 0 and sample 3 for class 2, which nobody else is; what
    # it takes labelled samples for does not matter.
    logits = torch.eye(3)[[2, 0, 2, 2, 2]]
    met, _ = partners(target, "class", logits)
    assert met == [1, 0, 4, 3, 2]


def test_a_batch_of_one_keeps_its_teacher() -> None:
    for within in ("all", "class"):
        assert partners(torch.tensor([2]), within)[0] == [0]


def test_everything_of_the_other_sample_travels_along() -> None:
    target = torch.tensor([2, 0, -100, 1])
    met, output = partners(target)
    for values in (output.features, *output.maps, output.index):
        assert values is not None
        assert [int(row.flatten()[0]) for row in values] == met
    assert output.label is not None
    assert output.label.tolist() == target[met].tolist()
    logits = torch.randn(4, 3)
    met, output = partners(target, logits=logits)
    assert torch.equal(output.logits, logits[met])


def test_maps_travel_whole_with_their_labels() -> None:
    target = torch.randint(3, (4, 2, 3), generator=torch.Generator().manual_seed(0))
    met, output = partners(target)
    assert sorted(met) == [0, 1, 2, 3]
    assert output.features.shape == (4, 4, 2, 3)
    assert output.label is not None
    assert torch.equal(output.label, target[met])


def test_the_student_and_its_target_stay() -> None:
    watch, student, target = Watch(), numbered(3), torch.tensor([0, 1, 2])
    ShuffledPairs(watch)(student, numbered(3), target)
    seen_student, _, seen_target = watch.seen[0]
    assert seen_student is student
    assert seen_target is target


def test_shuffling_twice_shuffles_the_labels_twice() -> None:
    """A label that came with the teacher's output is the one that goes on."""
    watch, target = Watch(), torch.tensor([0, 1, 2])
    ShuffledPairs(ShuffledPairs(watch))(numbered(3), numbered(3), target)
    _, met, _ = watch.seen[0]
    assert met is not None
    assert met.index is not None
    assert met.label is not None
    assert met.label.tolist() == target[met.index].tolist()


def test_the_distance_is_to_the_other_samples_teacher() -> None:
    # 0 meets 1, 1 meets 2, 2 meets 0: (1 + 1 + 4) / 3.
    terms = ShuffledPairs(FeatureLoss())(numbered(3), numbered(3), torch.tensor([0, 0, 0]))
    assert terms["feature"].item() == 2.0


def scores(head: SharedAlignmentHead, band: str, rows: np.ndarray) -> np.ndarray:
    """Linear(ReLU(band)) with the band by convolution: bins 1 to D / 4, or the rest."""
    size = rows.shape[1]
    lags = np.subtract.outer(np.arange(size), np.arange(size)) % size
    kernel = sum(np.cos(2 * np.pi * k * np.arange(size) / size) for k in range(1, size // 4 + 1))
    low = rows @ (2 / size * kernel[lags])
    bands = {"low": low, "high": rows - rows.mean(1, keepdims=True) - low}
    weight, bias = (
        head.get_parameter(f"{band}.{part}").detach().numpy() for part in ("weight", "bias")
    )
    return np.asarray(np.maximum(bands[band], 0) @ weight.T + bias)


def mean_cross_entropy(logits: np.ndarray, labels: list[int]) -> float:
    losses = [
        np.log(np.exp(row).sum()) - row[label]
        for row, label in zip(logits, labels, strict=True)
        if label != -100
    ]
    return float(sum(losses) / len(losses))


def test_the_teachers_half_of_the_alignment_has_its_own_samples_labels() -> None:
    student, teacher = np.random.default_rng(0).normal(size=(2, 5, 8))
    # Sample 1 has no label: its neighbour 0, who meets its teacher output, learns no class of it.
    labels = [2, -100, 0, 1, 1]
    torch.manual_seed(0)
    head = SharedAlignmentHead(8, 3).double()
    outputs = [Output(torch.from_numpy(x), torch.zeros(5, 3)) for x in (student, teacher)]
    loss = ShuffledPairs(FDKDLoss(FrequencyDecoupler(), head))
    found = loss(*outputs, torch.tensor(labels))["align"].item()
    order = [1, 2, 3, 4, 0]
    expected = sum(
        mean_cross_entropy(scores(head, band, student), labels)
        + mean_cross_entropy(scores(head, band, teacher[order]), [labels[i] for i in order])
        for band in ("low", "high")
    )
    assert found == pytest.approx(expected, rel=1e-10)
    wrong = sum(
        mean_cross_entropy(scores(head, band, student), labels)
        + mean_cross_entropy(scores(head, band, teacher[order]), labels)
        for band in ("low", "high")
    )
    assert abs(found - wrong) > 1e-3


def test_shuffling_leaves_the_alignment_and_moves_the_distances(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    plain = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(16, 3))
    terms, shuffled = plain(student, teacher, target), ShuffledPairs(plain)(*pair())
    assert shuffled["align"].item() == pytest.approx(terms["align"].item(), rel=1e-6)
    for name in ("low", "high"):
        assert shuffled[name].item() != pytest.approx(terms[name].item(), rel=1e-3)


def test_the_criterions_weights_are_trained() -> None:
    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(8, 3))
    assert {*ShuffledPairs(criterion).parameters()} == {*criterion.parameters()}


# Its errors.


def test_without_a_teacher_there_is_nothing_to_shuffle() -> None:
    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(4, 3))
    with pytest.raises(ValueError, match="ShuffledPairs has no term without a teacher"):
        ShuffledPairs(criterion)(numbered(2), None, torch.tensor([0, 1]))


def test_an_unknown_group_is_an_error() -> None:
    with pytest.raises(ValueError, match="within='batch' is unknown: choose 'all' or 'class'"):
        ShuffledPairs(FeatureLoss(), "batch")  # type: ignore[arg-type]


def test_classes_of_maps_are_an_error_that_names_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"within='class'.*\[2, 2, 3\].*within='all'"):
        partners(torch.zeros(2, 2, 3, dtype=torch.long), "class")


# The next of a group.


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "groups"), [(1, 1), (7, 1), (30, 4), (30, 29)])
def test_following_the_next_goes_once_around_the_group(seed: int, n: int, groups: int) -> None:
    group = torch.randint(groups, (n,), generator=torch.Generator().manual_seed(seed))
    following = next_of_group(group).tolist()
    for start in range(n):
        circle = [start]
        while following[circle[-1]] != start:
            circle.append(following[circle[-1]])
            assert len(circle) <= n
        assert sorted(circle) == (group == group[start]).nonzero().flatten().tolist()
        # In the batch's order, from whoever one begins with.
        first = circle.index(min(circle))
        assert circle[first:] + circle[:first] == sorted(circle)


# Label smoothing.


def smoothed(logits: np.ndarray, labels: list[int], smoothing: float) -> float:
    """The mean over labelled rows of minus the sum of target times log-probability."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        if label == -100:
            continue
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        losses.append(-(target * (row - np.log(np.exp(row).sum()))).sum())
    return float(sum(losses) / len(losses))


def test_a_smoothed_value_worked_out_by_hand() -> None:
    # Logits log 3 and 0 are (3/4, 1/4); epsilon 0.2 makes class 0 the target (0.9, 0.1).
    output = Output(torch.zeros(1, 4), torch.tensor([[3.0, 1.0]], dtype=torch.float64).log())
    loss = LabelSmoothingLoss(0.2)(output, None, torch.tensor([0]))
    expected = -0.9 * np.log(3 / 4) - 0.1 * np.log(1 / 4)
    assert loss["smoothed"].item() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("size", [(), (2, 3)])
def test_the_smoothed_loss_is_that_of_the_formula(smoothing: float, size: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(6, 5, *size)), generator.integers(5, size=(6, *size))
    labels.flat[[0, 3]] = -100
    output = Output(torch.zeros(6, 4), torch.from_numpy(logits))
    found = LabelSmoothingLoss(smoothing)(output, None, torch.from_numpy(labels))
    expected = smoothed(
        np.moveaxis(logits, 1, -1).reshape(-1, 5), labels.flatten().tolist(), smoothing
    )
    assert list(found) == ["smoothed"]
    assert found["smoothed"].item() == pytest.approx(expected, rel=1e-10)


def test_the_default_smoothing_is_a_tenth(pair: Callable[..., Any]) -> None:
    student, _, target = pair()
    default, tenth = (
        loss(student, None, target) for loss in (LabelSmoothingLoss(), LabelSmoothingLoss(0.1))
    )
    assert default == tenth


def test_a_sample_without_a_label_has_no_part_in_smoothing(pair: Callable[..., Any]) -> None:
    student, _, _ = pair()
    target = torch.tensor([1, -100, 0, -100])
    loss = LabelSmoothingLoss()(student, None, target)["smoothed"]
    labelled = Output(student.features[::2], student.logits[::2])
    assert torch.equal(loss, LabelSmoothingLoss()(labelled, None, target[::2])["smoothed"])
    (gradient,) = torch.autograd.grad(loss, student.logits)
    assert gradient[1::2].count_nonzero() == 0
    assert gradient[::2].count_nonzero() == 6


def test_smoothing_a_batch_without_labels_is_zero_with_zero_gradient(
    pair: Callable[..., Any],
) -> None:
    student, _, target = pair()
    loss = LabelSmoothingLoss()(student, None, torch.full_like(target, -100))["smoothed"]
    (gradient,) = torch.autograd.grad(loss, student.logits)
    assert loss.item() == 0
    assert gradient.count_nonzero() == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize("size", [(), (2, 3)])
def test_gradients_of_smoothing(pair: Callable[..., Any], size: tuple[int, ...]) -> None:
    student, _, target = pair(size=size, dtype=torch.float64)

    def loss(logits: Tensor) -> Tensor:
        return LabelSmoothingLoss()(Output(student.features, logits), None, target)["smoothed"]

    assert torch.autograd.gradcheck(loss, (student.logits,))


def test_smoothing_bf16_logits_gives_float32(pair: Callable[..., Any]) -> None:
    student, _, target = pair(dtype=torch.bfloat16)
    wide = student._replace(logits=student.logits.float())
    half, full = (LabelSmoothingLoss()(x, None, target)["smoothed"] for x in (student, wide))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=1e-6)


def test_smoothing_looks_at_no_teacher_and_no_features(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    nan = Output(*(torch.full_like(x, torch.nan) for x in teacher[:2]))
    alone = LabelSmoothingLoss()(student, None, target)
    featureless = student._replace(features=nan.features)
    assert LabelSmoothingLoss()(featureless, nan, target) == alone


def test_smoothing_has_a_floor_that_certainty_leaves() -> None:
    """A softer target: more certain than it is not better."""
    losses = [
        LabelSmoothingLoss(0.1)(
            Output(torch.zeros(1, 4), torch.tensor([[scale, 0.0]])), None, torch.tensor([0])
        )["smoothed"].item()
        for scale in (1.0, float(np.log(0.95 / 0.05)), 10.0)
    ]
    assert losses[1] < losses[0]
    assert losses[1] < losses[2]
    assert losses[1] == pytest.approx(-0.95 * np.log(0.95) - 0.05 * np.log(0.05), rel=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5])
def test_a_smoothing_out_of_range_is_an_error(smoothing: float) -> None:
    with pytest.raises(ValueError, match=f"smoothing={smoothing} must be at least 0 and below 1"):
        LabelSmoothingLoss(smoothing)


def test_logits_of_another_number_of_samples_are_named() -> None:
    teacher = numbered(4)._replace(logits=torch.zeros(3))
    with pytest.raises(ValueError, match=r"target has shape \[4\], the teacher's logits \[3\]"):
        ShuffledPairs(FeatureLoss())(numbered(4), teacher, torch.zeros(4, dtype=torch.long))
