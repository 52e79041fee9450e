from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.decoupler import FrequencyDecoupler, LearnableFrequencyDecoupler
from fdkd_lightning.losses import (
    CompositeLoss,
    CRDLoss,
    DistillationLoss,
    FDKDLoss,
    FeatureLoss,
    InfoNCELoss,
    KDLoss,
    MFHLoss,
    PKDLoss,
    ShuffledPairs,
    feature_loss,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.losses.layerwise import LayerwiseLoss
from fdkd_lightning.ops.spatial import resize
from fdkd_lightning.training.probe import output_from_shapes, output_shapes
from fdkd_lightning.types import Output

Pair = Callable[..., tuple[Output, Output, Tensor]]


def fdkd(learned: bool = False, heads: bool = False) -> FDKDLoss:
    decoupler = LearnableFrequencyDecoupler() if learned else FrequencyDecoupler()
    band_heads = SharedAlignmentHead() if heads else None
    return FDKDLoss(decoupler, SharedAlignmentHead(), band_heads=band_heads)


def output(*maps: Tensor, classes: int = 3) -> Output:
    n = len(maps[0])
    return Output(torch.zeros(n, 8), torch.zeros(n, classes), maps, torch.arange(n))


def maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def built(loss: LayerwiseLoss, student: Output, teacher: Output | None) -> LayerwiseLoss:
    torch.manual_seed(0)
    loss.build(student, teacher)
    return loss.double()


TARGET = torch.tensor([0, -100, 2])


def test_means_of_equal_widths_are_compared_as_they_are() -> None:
    own, its = maps(3, 4, 2, 3), maps(3, 4, 5, 6, seed=1)
    first, second = maps(3, 6, 3, 3, seed=2), maps(3, 6, 1, 7, seed=3)
    loss = LayerwiseLoss(FeatureLoss(weight=3.0), stages=[1, 0], weights=[0.5, 2.0])
    student, teacher = output(first, own), output(second, its)
    loss = built(loss, student, teacher)
    assert not list(loss.parameters())
    terms = loss(student, teacher, TARGET)
    # By hand: weight of the stage, of the criterion, mean of squares over N and C of the means.
    mean = [x.numpy().reshape(3, x.shape[1], -1).mean(2) for x in (own, its, first, second)]
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "stage1/feature": 0.5 * 3 * ((mean[0] - mean[1]) ** 2).mean(),
            "stage0/feature": 2.0 * 3 * ((mean[2] - mean[3]) ** 2).mean(),
        },
        rel=1e-12,
    )


@pytest.mark.parametrize("positions", ["mean", "resize"])
def test_where_widths_differ_the_student_is_projected(positions: Any) -> None:
    own, its = maps(3, 4, 4, 6), maps(3, 5, 2, 3, seed=1)
    student, teacher = output(own), output(its)
    loss = built(LayerwiseLoss(FeatureLoss(), [0], positions=positions), student, teacher)
    ((_, weight), (_, bias)) = sorted(loss.named_parameters(), key=lambda item: -item[1].ndim)
    assert list(weight.shape) == [5, 4]
    if positions == "mean":
        grid, goal = own.mean((2, 3), keepdim=True), its.mean((2, 3), keepdim=True)
    else:
        grid, goal = F.interpolate(own, (2, 3), mode="bilinear", antialias=True), its
    projected = F.conv2d(grid, weight[:, :, None, None], bias)
    expected = ((projected - goal) ** 2).mean().item()
    assert loss(student, teacher, TARGET)["stage0/feature"].item() == pytest.approx(expected)


def test_a_projection_comes_to_the_same_before_and_after_the_mean() -> None:
    own, its = maps(3, 4, 4, 6), maps(3, 5, 2, 3, seed=1)
    student, teacher = output(own), output(its)
    loss = built(LayerwiseLoss(FeatureLoss(), [0]), student, teacher)
    (projection,) = loss.projections.values()
    expected = feature_loss(projection(own).mean((2, 3)), its.mean((2, 3)))
    torch.testing.assert_close(loss(student, teacher, TARGET)["stage0/feature"], expected)


def test_fd_cmkd_of_a_stage_is_fd_cmkd_of_its_mean() -> None:
    own, its = maps(3, 8, 2, 3), maps(3, 8, 4, 4, seed=1)
    student, teacher = output(own), output(its)
    loss = built(LayerwiseLoss(fdkd(heads=True), [0]), student, teacher)
    found = loss(student, teacher, TARGET)
    means = (x._replace(features=x.maps[0].mean((2, 3))) for x in (student, teacher))
    expected = loss.criteria[0](*means, TARGET)
    assert found == {f"stage0/{name}": term for name, term in expected.items()}
    assert list(expected) == ["low", "high", "align", "heads"]


def test_tokens_learn_from_the_label_of_their_text_without_padding() -> None:
    """By resize: the scores of the tokens that are there, averaged, whatever the batch's length."""
    text = maps(3, 8, 1, 4)
    other = maps(3, 8, 1, 4, seed=1)
    student, teacher = output(text), output(other)
    loss = built(LayerwiseLoss(fdkd(), [0], positions="resize"), student, teacher)
    decoupler, head = loss.criteria[0].decoupler, loss.criteria[0].alignment
    scores = [
        type(bands)(*(band.mean((2, 3)) for band in bands))
        for bands in (head(decoupler(x)) for x in (text, other))
    ]
    expected = alignment_loss(*scores, TARGET)
    found = loss(student, teacher, TARGET)["stage0/align"]
    torch.testing.assert_close(found, expected)
    assert found > 0


@pytest.mark.parametrize("positions", ["mean", "resize"])
def test_padding_makes_no_difference(positions: Any) -> None:
    own, its = maps(3, 5, 1, 4), maps(3, 8, 1, 6, seed=1)
    student, teacher = output(own), output(its)
    loss = built(LayerwiseLoss(fdkd(heads=True), [0], positions=positions), student, teacher)
    expected = loss(student, teacher, TARGET)
    padded = output(F.pad(own, (0, 5)))
    torch.testing.assert_close(loss(padded, teacher, TARGET), expected)
    if positions == "mean":
        torch.testing.assert_close(loss(padded, output(F.pad(its, (2, 3))), TARGET), expected)


def test_texts_of_one_batch_do_not_depend_on_each_others_length() -> None:
    own, its = maps(3, 8, 1, 6), maps(3, 8, 1, 6, seed=1)
    own[0, :, :, 4:] = its[0, :, :, 2:] = 0
    loss = LayerwiseLoss(FeatureLoss(), [0], positions="resize")
    found = loss(output(own[:1]), output(its[:1]), TARGET[:1])["stage0/feature"]
    # Alone, at the teacher's length, and among longer ones.
    by_itself = (
        resize(own[:1, :, :, :4], torch.Size([1, 6])),
        resize(its[:1, :, :, :2], torch.Size([1, 6])),
    )
    torch.testing.assert_close(found, feature_loss(*by_itself))
    whole = loss(output(own), output(its), TARGET)["stage0/feature"]
    rest = loss(output(own[1:]), output(its[1:]), TARGET[1:])["stage0/feature"]
    torch.testing.assert_close(whole, (found + 2 * rest) / 3)


def test_a_sequence_and_a_grid_are_averaged_or_an_error() -> None:
    text, picture = output(maps(3, 8, 1, 7)), output(maps(3, 8, 4, 4, seed=1))
    for student, teacher in ((text, picture), (picture, text)):
        assert LayerwiseLoss(FeatureLoss(), [0])(student, teacher, TARGET)["stage0/feature"] > 0
        with pytest.raises(
            ValueError, match=r"stage 0: .*no order in common: set positions='mean'"
        ):
            LayerwiseLoss(FeatureLoss(), [0], positions="resize")(student, teacher, TARGET)
    point = output(maps(3, 8, 1, 1, seed=2))
    for other in (text, picture):
        loss = LayerwiseLoss(FeatureLoss(), [0], positions="resize")
        expected = feature_loss(point.maps[0].expand_as(other.maps[0]), other.maps[0])
        torch.testing.assert_close(loss(point, other, TARGET)["stage0/feature"], expected)
        assert loss(other, point, TARGET)["stage0/feature"].isfinite()


def test_labels_of_pixels_need_places_and_void_ones_do_not_count(pair: Pair) -> None:
    student, teacher, _ = pair()
    target = torch.randint(3, (4, 8, 8))
    target[:, 3:] = -100
    torch.manual_seed(0)
    loss = LayerwiseLoss(fdkd(), [1], positions="resize")
    loss.build(student, teacher)
    found = loss(student, teacher, target)["stage1/align"]
    assert found > 0
    nothing = loss(student, teacher, torch.full_like(target, -100))["stage1/align"]
    assert nothing == 0
    criterion = loss.criteria[0]
    bands = (
        criterion.alignment(criterion.decoupler(x))
        for x in (loss.projections["stage1"](student.maps[1]), teacher.maps[1])
    )
    fine = [[F.interpolate(band, (8, 8), mode="bilinear") for band in pair] for pair in bands]
    by_hand = sum(
        F.cross_entropy(band[:, :, :3].movedim(1, -1).flatten(0, 2), target[:, :3].flatten())
        for pair in fine
        for band in pair
    )
    torch.testing.assert_close(found, by_hand)
    averaged = LayerwiseLoss(fdkd(), [1])
    averaged.build(student, teacher)
    with pytest.raises(ValueError, match="positions='resize'"):
        averaged(student, teacher, target)


def test_each_stage_has_a_copy_of_its_own(pair: Pair) -> None:
    student, teacher, target = pair()
    criterion = fdkd(learned=True)
    torch.manual_seed(0)
    loss = LayerwiseLoss(criterion, [1, 3])
    loss.build(student, teacher)
    # Stages of one width, to compare.
    twins = LayerwiseLoss(fdkd(learned=True), [1, 2])
    same = [torch.randn(4, 6, 4, 4) for _ in range(3)]
    twins.build(output(*same), output(*same))
    heads = [part.alignment.low.weight for part in twins.criteria]
    assert heads[0].shape == heads[1].shape
    assert not torch.equal(heads[0], heads[1])
    assert not {id(p) for p in criterion.parameters()} & {id(p) for p in loss.parameters()}
    optimizer = torch.optim.SGD(loss.parameters(), 5.0)
    sum(loss(student, teacher, target).values()).backward()
    optimizer.step()
    record = loss.logged_values()
    assert list(record) == ["stage1/threshold", "stage3/threshold"]
    first, third = record.values()
    assert first != third
    assert criterion.logged_values()["threshold"] == pytest.approx(0.5)


def test_what_was_drawn_before_is_the_same_at_first() -> None:
    criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(8, 3))
    first, second = LayerwiseLoss(criterion, [0, 1]).criteria
    assert first.alignment.low.weight is not second.alignment.low.weight
    assert torch.equal(first.alignment.low.weight, second.alignment.low.weight)


def test_building_twice_leaves_the_weights(pair: Pair) -> None:
    student, teacher, _ = pair()
    loss = LayerwiseLoss(fdkd(), [1, 3])
    loss.build(student, teacher)
    before = {name: id(p) for name, p in loss.named_parameters()}
    loss.build(student, teacher)
    assert {name: id(p) for name, p in loss.named_parameters()} == before
    assert len(before) == 2 * (2 + 4)


def test_everything_that_is_trained_gets_a_gradient(pair: Pair) -> None:
    for positions in ("mean", "resize"):
        student, teacher, target = pair()
        loss = LayerwiseLoss(fdkd(heads=True, learned=True), [1, 3], positions=positions)
        loss.build(student, teacher)
        sum(loss(student, teacher, target).values()).backward()
        assert all(p.grad is not None and p.grad.count_nonzero() for p in loss.parameters())
        assert all(student.maps[i].grad is not None for i in (1, 3))
        assert all(x.grad is None for x in teacher.maps)


def test_heads_are_recorded_under_their_stage(pair: Pair) -> None:
    student, teacher, _ = pair()
    for positions in ("mean", "resize"):
        loss = LayerwiseLoss(fdkd(heads=True), [1, 3], positions=positions)
        loss.build(student, teacher)
        heads = loss.heads(student)
        names = [f"{part}_{band}" for part in ("align", "heads") for band in ("low", "high")]
        assert list(heads) == [f"stage{stage}/{name}" for stage in (1, 3) for name in names]
        assert all(logits.shape == (4, 3) for logits in heads.values())


def test_a_checkpoint_is_read_by_a_loss_that_was_built_alike(pair: Pair) -> None:
    student, teacher, target = pair()
    first, second = (LayerwiseLoss(fdkd(), [1, 3]) for _ in range(2))
    first.build(student, teacher)
    # As a checkpoint tells them: shapes without values.
    shapes = [output_from_shapes(output_shapes(role)) for role in (student, teacher)]
    assert shapes[0] is not None
    second.build(shapes[0], shapes[1])
    second.load_state_dict(first.state_dict())
    assert second(student, teacher, target) == first(student, teacher, target)


@pytest.mark.parametrize(
    "criterion",
    [
        FeatureLoss(),
        PKDLoss(),
        InfoNCELoss(),
        InfoNCELoss(decoupler=FrequencyDecoupler()),
        CRDLoss(negatives=8, memory_size=16, dim=4),
        MFHLoss(joint_epochs=0),
        ShuffledPairs(fdkd()),
        CompositeLoss({"fdkd": fdkd(), "pkd": PKDLoss()}, {"pkd": 0.5}),
    ],
    ids=lambda criterion: type(criterion).__name__,
)
def test_any_criterion_of_features_will_do(pair: Pair, criterion: DistillationLoss) -> None:
    student, teacher, target = pair()
    loss = LayerwiseLoss(criterion, [1, -1])
    loss.build(student, teacher)
    terms = loss(student, teacher, target)
    assert {name.split("/")[0] for name in terms} == {"stage1", "stage-1"}
    assert all(term.isfinite() for term in terms.values())
    assert loss.single_teacher_only() == criterion.single_teacher_only()


def test_it_is_one_of_several(pair: Pair) -> None:
    student, teacher, target = pair()
    loss = CompositeLoss(
        {"fdkd": fdkd(), "layers": LayerwiseLoss(fdkd(heads=True), [1, 3]), "kd": KDLoss()},
        {"layers": 0.25},
    )
    loss.build(student, teacher)
    terms = loss(student, teacher, target)
    layers = loss.losses["layers"](student, teacher, target)
    for name, term in layers.items():
        assert terms[f"layers/{name}"] == 0.25 * term
    assert len(terms) == 3 + 2 * 4 + 1
    assert loss(student, None, target).keys() == {
        "fdkd/align",
        *(f"layers/stage{stage}/{name}" for stage in (1, 3) for name in ("align", "heads")),
    }
    assert len(loss.heads(student)) == 2 + 2 * 4


def test_without_any_teacher_the_classifiers_have_the_students_width(pair: Pair) -> None:
    student, _, target = pair()
    loss = LayerwiseLoss(fdkd(), [1])
    loss.build(student, None)
    assert not loss.projections
    assert loss.criteria[0].alignment.low.in_features == student.maps[1].shape[1]
    assert list(loss(student, None, target)) == ["stage1/align"]


def test_half_precision_maps_are_averaged_in_float32() -> None:
    own, its = maps(3, 8, 16, 16).bfloat16(), maps(3, 8, 16, 16, seed=1).bfloat16()
    loss = LayerwiseLoss(FeatureLoss(), [0])
    found = loss(output(own), output(its), TARGET)
    assert found == loss(output(own.float()), output(its.float()), TARGET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": []}, r"stages=\[\] must name one or more"),
        ({"stages": [1, 1]}, r"stages=\[1, 1\] must name .* each once"),
        ({"stages": [0, 1], "weights": [1.0]}, r"weights=\[1.0\] must be one number for each"),
        (
            {"stages": [0], "positions": "flat"},
            "positions='flat' is unknown: choose 'mean' or 'resize'",
        ),
    ],
)
def test_arguments_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LayerwiseLoss(FeatureLoss(), **options)


def test_stages_and_widths_that_do_not_fit_are_named(pair: Pair) -> None:
    student, teacher, target = pair()
    with pytest.raises(ValueError, match="stage=9 is not among the 4 maps of the student"):
        LayerwiseLoss(FeatureLoss(), [9]).build(student, teacher)
    with pytest.raises(ValueError, match=r"stage 1: .* 4 channels .* 6: call build\(student"):
        LayerwiseLoss(FeatureLoss(), [1])(student, teacher, target)
    loss = LayerwiseLoss(FeatureLoss(), [1])
    loss.build(student, teacher)
    other = teacher._replace(maps=tuple(torch.zeros(4, 9, 2, 2) for _ in range(4)))
    with pytest.raises(ValueError, match="several teachers must have one width"):
        loss(student, other, target)


def test_without_a_teacher_a_distance_says_that_it_needs_one(pair: Pair) -> None:
    student, _, target = pair()
    with pytest.raises(ValueError, match="FeatureLoss has no term without a teacher"):
        LayerwiseLoss(FeatureLoss(), [1])(student, None, target)


def test_constant_maps_are_no_signal() -> None:
    x = torch.full((3, 16, 4, 4), 0.1, requires_grad=True)
    loss = LayerwiseLoss(FDKDLoss(FrequencyDecoupler()), [0])
    terms = loss(output(x), output(maps(3, 16, 4, 4).float()), TARGET)
    sum(terms.values()).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad, 0)
