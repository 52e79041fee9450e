"""Properties of every loss."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import MSELoss

from fdkd_lightning.decoupler import (
    FrequencyDecoupler,
    SpatialFrequencyDecoupler,
    WholeDecoupler,
)
from fdkd_lightning.losses import (
    AFDLoss,
    ATLoss,
    BinaryKDLoss,
    C2KDLoss,
    CIRKDLoss,
    CIRKDv2Loss,
    CRDLoss,
    DenseC2KDLoss,
    DistillationLoss,
    DISTLoss,
    DKDLoss,
    FDKDLoss,
    FeatureLoss,
    FreeKDLoss,
    HintLoss,
    InfoNCELoss,
    KDLoss,
    LayerwiseLoss,
    MutualLoss,
    PKDLoss,
    RegressionKDLoss,
    RKDLoss,
    ShuffledPairs,
    SignedLog1p,
    SPLoss,
    SumOverChannels,
    UnitLength,
    UnitVariance,
    Unstandardized,
    at_loss,
    binary_kd_loss,
    dist_loss,
    dkd_loss,
    feature_loss,
    info_nce_loss,
    kd_loss,
    pkd_loss,
    regression_kd_loss,
    rkd_loss,
    sp_loss,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.base import label_or_prediction
from fdkd_lightning.losses.composite import CompositeLoss
from fdkd_lightning.losses.mfh import MFHLoss
from fdkd_lightning.ops.nested import map_tensors
from fdkd_lightning.types import Output


def fdkd(alignment: bool = False, heads: bool = False, **options: Any) -> FDKDLoss:
    return FDKDLoss(
        FrequencyDecoupler(),
        SharedAlignmentHead() if alignment else None,
        band_heads=SharedAlignmentHead() if heads else None,
        **options,
    )


def dkd(student: Output, teacher: Output, target: Tensor) -> dict[str, Tensor]:
    classes = label_or_prediction(target, teacher)
    tckd, nckd = dkd_loss(student.logits, teacher.logits, classes)
    return {"tckd": tckd, "nckd": 8 * nckd}


def dist(student: Output, teacher: Output, _: Tensor) -> dict[str, Tensor]:
    inter, intra = dist_loss(student.logits, teacher.logits)
    return {"inter": 2 * inter, "intra": 2 * intra}


def rkd(student: Output, teacher: Output, _: Tensor) -> dict[str, Tensor]:
    distance, angle = rkd_loss(student.features, teacher.features)
    return {"distance": 25 * distance, "angle": 50 * angle}


class Row(NamedTuple):
    """A loss, and where it may differ from others."""

    name: str
    factory: Callable[[], DistillationLoss]
    # The terms by the function, where the module has no weights of its own.
    function: Callable[[Output, Output, Tensor], dict[str, Tensor]] | None = None
    # Terms that stay when the teacher goes.
    teacher_free: bool = False
    # Terms that are no distance: equal outputs need not make them zero.
    learns: tuple[str, ...] = ()
    # Terms whose value depends on labels without being a cross-entropy of them.
    labels: tuple[str, ...] = ()
    # The smallest batch for which the method is defined, and the shapes of features it takes.
    least: int = 1
    dense: bool = True
    maps_only: bool = False
    # What bf16 may cost: one step of its numbers, 1/256, times what a loss does to it.
    bf16: float = 1e-2
    # The factor of its terms, which gradients have too.
    weight: float = 1
    # A BatchNorm over constant values divides by sqrt(1e-5), which multiplies gradients.
    batch_norm: bool = False
    # Terms that hold a moving target fixed have another gradient than their value's.
    stops: bool = False
    # The teacher learns, too.
    mutual: bool = False


CROSS_ENTROPIES = (
    *("align", "heads", "classifier", "fdkd/align"),
    *("student/fdkd/align", "teacher/fdkd/align", "teacher/task"),
    *(f"stage{stage}/{name}" for stage in (0, 1, 3) for name in ("align", "heads")),
)
CIRKD_TERMS = ("kd", "pixel_pairs", "pixel_memory", "region_memory")
CIRKD_CHANNELS = ("channel_pairs", "channel_memory", "channel_mse", "fitnet")
METHODS = [
    Row("kd", KDLoss, lambda s, t, _: {"kd": kd_loss(s.logits, t.logits)}),
    Row("binary kd", BinaryKDLoss, lambda s, t, _: {"kd": binary_kd_loss(s.logits, t.logits)}),
    Row(
        "regression kd",
        RegressionKDLoss,
        lambda s, t, _: {"kd": regression_kd_loss(s.logits, t.logits)},
    ),
    Row("feature", FeatureLoss, lambda s, t, _: {"feature": feature_loss(s.features, t.features)}),
    Row("fdkd", fdkd),
    Row("fdkd sum", lambda: fdkd(channel_reduction=SumOverChannels())),
    Row(
        "fdkd feature",
        lambda: fdkd(band_standardizer=Unstandardized(), feature_standardizer=UnitLength()),
    ),
    Row("fdkd none", lambda: fdkd(band_standardizer=Unstandardized())),
    Row("fdkd variance", lambda: fdkd(band_standardizer=UnitVariance())),
    Row("fdkd log before", lambda: fdkd(high_loss=MSELoss(), high_transform=SignedLog1p())),
    Row("fdkd align", lambda: fdkd(alignment=True), teacher_free=True),
    Row("fdkd heads", lambda: fdkd(heads=True), teacher_free=True),
    Row("fdkd both", lambda: fdkd(alignment=True, heads=True), teacher_free=True),
    Row(
        "fdkd soft",
        lambda: fdkd(alignment=True, lambda_soft=1.0),
        learns=("soft",),
        labels=("soft",),
        teacher_free=True,
    ),
    Row(
        "composite",
        lambda: CompositeLoss({"fdkd": fdkd(alignment=True), "kd": KDLoss()}, {"kd": 0.5}),
        teacher_free=True,
    ),
    Row(
        "mfh",
        lambda: MFHLoss(joint_epochs=0),
        learns=("classifier", "kd"),
        dense=False,
        stops=True,
    ),
    Row(
        "mfh joint",
        lambda: MFHLoss(joint_epochs=1),
        learns=("classifier", "joint"),
        dense=False,
        weight=3,  # a distance of K logits: there is no D to divide by
    ),
    Row("hint", HintLoss, learns=("hint",), weight=100, batch_norm=True),
    Row("afd", lambda: AFDLoss(size=4), learns=("afd",), least=2, weight=200),
    Row(
        "c2kd",
        C2KDLoss,
        learns=("student", "teacher", "cross"),
        labels=("cross",),
        least=2,
        dense=False,
        teacher_free=True,
        batch_norm=True,
        stops=True,
    ),
    Row(
        "mutual",
        lambda: MutualLoss(CompositeLoss({"kd": KDLoss(), "fdkd": fdkd(alignment=True)})),
        teacher_free=True,
        stops=True,
        mutual=True,
    ),
    Row(
        "c2kd dense",
        DenseC2KDLoss,
        learns=("student", "teacher", "cross"),
        labels=("student", "teacher", "cross"),
        maps_only=True,
        teacher_free=True,
        batch_norm=True,
        stops=True,
    ),
    Row(
        "cirkd",
        lambda: CIRKDLoss(pixel_memory_size=40, region_memory_size=20),
        learns=("pixel_memory", "region_memory"),
        labels=CIRKD_TERMS,
        maps_only=True,
        batch_norm=True,
        weight=2 / 0.1,  # its weights over its temperature
    ),
    Row(
        "cirkd v2",
        lambda: CIRKDv2Loss(pixel_memory_size=40, region_memory_size=20, channel_memory_size=30),
        learns=(*CIRKD_TERMS[1:], *CIRKD_CHANNELS),
        labels=(*CIRKD_TERMS, *CIRKD_CHANNELS),
        maps_only=True,
        batch_norm=True,
        weight=100 / 0.1,
    ),
    Row("fdkd spatial", lambda: FDKDLoss(SpatialFrequencyDecoupler(0.99)), maps_only=True),
    Row("dkd", lambda: DKDLoss(warmup=0), dkd, labels=("tckd", "nckd"), weight=9),
    Row("dkd warm-up", DKDLoss, labels=("tckd", "nckd")),
    Row("dist", DISTLoss, dist, weight=4),
    Row(
        "crd",
        lambda: CRDLoss(negatives=32, memory_size=64, dim=8),
        learns=("crd",),
        labels=("crd",),
        dense=False,
        weight=0.8 / 0.07,  # its weight over its temperature
    ),
    Row("freekd", FreeKDLoss),
    Row("freekd first", lambda: FreeKDLoss(stage=0, levels=2)),
    Row(
        "pkd",
        PKDLoss,
        lambda s, t, _: {"pkd": 6 * pkd_loss(s.features, t.features)},
        least=2,
        weight=6,
    ),
    Row("at", ATLoss, lambda s, t, _: {"at": 1000 * at_loss(s.maps, t.maps)}, weight=1000),
    Row("at norm", lambda: ATLoss(distance="norm", weight=1)),
    Row("sp", SPLoss, lambda s, t, _: {"sp": 3000 * sp_loss(s.maps[-1], t.maps[-1])}, weight=3000),
    Row("rkd", RKDLoss, rkd, weight=75),
    Row(
        "infonce",
        InfoNCELoss,
        lambda s, t, _: {"infonce": info_nce_loss(s.features, t.features)},
        learns=("infonce",),
        dense=False,
        weight=1 / 0.07,  # one over its temperature
    ),
    Row(
        "infonce low",
        lambda: InfoNCELoss(decoupler=FrequencyDecoupler()),
        learns=("infonce",),
        dense=False,
        weight=1 / 0.07,
    ),
    Row(
        "layerwise",
        lambda: LayerwiseLoss(fdkd(alignment=True, heads=True), stages=[1, 3], weights=[0.5, 2]),
        dense=False,
        teacher_free=True,
        weight=2,
    ),
    Row(
        "layerwise resize",
        lambda: LayerwiseLoss(
            FDKDLoss(WholeDecoupler(), SharedAlignmentHead(), lambda_high=None),
            stages=[0, 1],
            positions="resize",
        ),
        teacher_free=True,
    ),
]
# A control takes the pairs apart: equal outputs are not what it compares.
LOSSES = [*METHODS, Row("shuffled", lambda: ShuffledPairs(fdkd(alignment=True, heads=True)))]


def each(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


# Compare samples with each other, normalise by a batch's statistics, or remember samples: the guide
# to the global batch names them.
OF_THE_BATCH = {
    *("afd", "c2kd", "c2kd dense", "cirkd", "cirkd v2", "crd", "dist", "hint", "infonce"),
    *("infonce low", "pkd", "rkd", "shuffled", "sp"),
}


# One case per loss and property: the shapes are looped over inside, which costs a tenth of a case.
every_loss = each(LOSSES)
SHAPES: list[dict[str, Any]] = [
    {},
    {"n": 1},
    {"k": 2},
    {"n": 1, "k": 2, "d": 4},
    {"size": (3, 5)},
    {"n": 1, "size": (1, 1)},
]


def built(row: Row, student: Output, teacher: Output) -> DistillationLoss:
    torch.manual_seed(0)
    loss = row.factory()
    loss.build(student, teacher)
    return loss


def fixed(loss: DistillationLoss, *pair: Any) -> DistillationLoss:
    """The loss after a step, in eval mode: what it keeps from step to step stays as it is."""
    if loss.training:
        loss(*pair)
    return loss.eval()


def terms_of(loss: DistillationLoss, *pair: Any) -> dict[str, Tensor]:
    """The terms, whatever is drawn at random drawn alike each time."""
    torch.manual_seed(1)
    return loss(*pair)  # type: ignore[no-any-return]


def leaves(output: Output) -> list[Tensor]:
    return [output.features, output.logits, *output.maps]


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def shapes_for(row: Row) -> list[dict[str, Any]]:
    if row.maps_only:  # the smallest map with spatial frequencies
        return [{**shape, "size": (5, 2)} for shape in SHAPES if "size" not in shape]
    return [shape for shape in SHAPES if row.dense or "size" not in shape]


def sizes_for(row: Row) -> list[tuple[int, ...]]:
    if row.maps_only:
        return [(4, 3)]
    return [(), (2, 3)] if row.dense else [()]


@pytest.fixture
def pair(pair: Callable[..., Any], request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Outputs of vectors, or of maps for losses that take nothing else."""
    row = request.node.callspec.params.get("row")
    return partial(pair, size=(4, 3)) if row is not None and row.maps_only else pair


@every_loss
def test_terms_are_named_finite_scalars_with_gradients(pair: Callable[..., Any], row: Row) -> None:
    for shape in shapes_for(row):
        student, teacher, target = pair(**shape)
        if shape.get("n", 4) < row.least:
            with pytest.raises(ValueError, match=f"a batch of 1, and needs at least {row.least}"):
                built(row, student, teacher)(student, teacher, target)
            continue
        terms = built(row, student, teacher)(student, teacher, target)
        assert terms
        for name, term in terms.items():
            assert isinstance(name, str)
            assert (term.shape, term.dtype) == ((), torch.float32)
            assert term.isfinite(), (name, shape)
            # Alone or among two classes a sample may have nothing to be compared with.
            assert term >= 0 if shape else term > 0, (name, shape)
        sum(terms.values()).backward()
        gradients = [x.grad for x in leaves(student) if x.grad is not None]
        assert any(gradient.count_nonzero() for gradient in gradients) or shape
        assert all(gradient.isfinite().all() for gradient in gradients), shape
        if row.mutual:
            assert teacher.logits.grad is not None
            assert teacher.logits.grad.isfinite().all()
        else:
            assert all(x.grad is None for x in leaves(teacher)), shape


@every_loss
def test_without_a_teacher_the_teacher_free_terms_are_left(
    pair: Callable[..., Any], row: Row
) -> None:
    student, teacher, target = pair()
    loss = built(row, student, teacher)
    if row.teacher_free:
        terms = loss(student, None, target)
        assert terms.keys() < loss(student, teacher, target).keys()
    else:
        with pytest.raises(ValueError, match="no term without a teacher"):
            loss(student, None, target)


@each(METHODS)
def test_equal_outputs_have_no_distance(pair: Callable[..., Any], row: Row) -> None:
    student, _, target = pair()
    terms = values(built(row, student, student)(student, student, target))
    distances = {
        name: value for name, value in terms.items() if name not in (*CROSS_ENTROPIES, *row.learns)
    }
    assert distances == pytest.approx(dict.fromkeys(distances, 0.0), abs=1e-6)


@every_loss
def test_bf16_outputs_give_the_terms_of_the_same_numbers_in_float32(
    pair: Callable[..., Any], row: Row
) -> None:
    student, teacher, target = pair(dtype=torch.bfloat16)
    loss = fixed(built(row, student, teacher), student, teacher, target)
    terms = terms_of(loss, student, teacher, target)
    wide = (
        Output(o.features.float(), o.logits.float(), tuple(x.float() for x in o.maps), o.index)
        for o in (student, teacher)
    )
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert values(terms) == pytest.approx(values(terms_of(loss, *wide, target)), rel=1e-6)


@every_loss
def test_bf16_costs_at_most_a_hundredth(pair: Callable[..., Any], row: Row) -> None:
    student, teacher, target = pair()
    loss = fixed(built(row, student, teacher), student, teacher, target)
    expected = values(terms_of(loss, student, teacher, target))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = terms_of(loss, student, teacher, target)
    # Lightning's bf16-true: the weights of a loss are bf16 as well.
    true = terms_of(loss.bfloat16(), student, teacher, target)
    for terms in (mixed, true):
        assert all(term.dtype == torch.float32 for term in terms.values())
        # Only what has weights runs in bf16, whose numbers have steps of 1/256.
        assert values(terms) == pytest.approx(expected, rel=row.bf16)


# Dense C2KD's trained layers run in float16, where their sums exceed 65504.
@each([row for row in LOSSES if row.name != "c2kd dense"])
def test_large_fp16_outputs_overflow_nowhere_under_autocast(
    pair: Callable[..., Any], row: Row
) -> None:
    def half(x: Tensor) -> Tensor:
        return (1e4 * x.detach()).half() if x.is_floating_point() else x

    student, teacher, target = pair(size=(4, 4) if row.maps_only else ())
    student, teacher = (map_tensors(output, half) for output in (student, teacher))
    for x in leaves(student) + (leaves(teacher) if row.mutual else []):
        x.requires_grad_()
    wide = [
        map_tensors(output, lambda x: x.detach().float() if x.is_floating_point() else x)
        for output in (student, teacher)
    ]
    for x in leaves(wide[1]) if row.mutual else []:
        x.requires_grad_()
    loss = fixed(built(row, *wide), *wide, target)
    with torch.autocast("cpu", torch.float16):
        terms = terms_of(loss, student, teacher, target)
    assert values(terms) == pytest.approx(values(terms_of(loss, *wide, target)), rel=1e-2, abs=1e-6)
    sum(terms.values()).backward()  # type: ignore[union-attr]  # there are terms
    gradients = [x.grad for x in leaves(student) if x.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@each([row for row in LOSSES if row.function])
def test_the_module_is_the_function(pair: Callable[..., Any], row: Row) -> None:
    assert row.function is not None
    for size in sizes_for(row):
        student, teacher, target = pair(size=size)
        terms = row.factory()(student, teacher, target)
        assert terms == row.function(student, teacher, target)


# Small outputs, in the same relations as those of other tests.
FEW = (
    ((2, 4, 4), (3, 2, 2), (3, 2, 2), (4, 2, 1)),
    ((3, 2, 2), (4, 2, 2), (4, 2, 2), (5, 2, 1)),
)


# Where terms hold a moving target fixed, the loss's test file compares gradients with the formula.
@each([row for row in LOSSES if not row.stops])
def test_gradients(pair: Callable[..., Any], row: Row) -> None:
    student, teacher, target = pair(n=3, d=6, dtype=torch.float64, stages_of_both=FEW)
    loss = fixed(built(row, student, teacher).double(), student, teacher, target)

    def terms(features: Tensor, logits: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        output = Output(features, logits, maps[: len(student.maps)], student.index)
        return tuple(terms_of(loss, output, teacher, target).values())

    trained = [p for p in loss.parameters() if p.requires_grad]
    # All derivatives at once along a random direction, instead of one by one.
    assert torch.autograd.gradcheck(terms, (*leaves(student), *trained), fast_mode=True)


@every_loss
def test_without_labels_distances_stay_and_classifiers_rest(
    pair: Callable[..., Any], row: Row
) -> None:
    for size in sizes_for(row):
        student, teacher, target = pair(size=size)
        loss = fixed(built(row, student, teacher), student, teacher, target)
        labelled = values(terms_of(loss, student, teacher, target))
        terms = terms_of(loss, student, teacher, torch.full_like(target, -100))
        inputs = [*leaves(student), *loss.parameters()]
        for name, value in values(terms).items():
            if name in row.labels:
                assert terms[name].isfinite()
            else:
                assert value == (0 if name in CROSS_ENTROPIES else labelled[name]), (name, size)
            for gradient in torch.autograd.grad(
                terms[name], inputs, allow_unused=True, retain_graph=True
            ):
                assert gradient is None or gradient.isfinite().all()
                rests = gradient is None or not gradient.count_nonzero()
                assert rests or name not in CROSS_ENTROPIES


@every_loss
def test_a_batch_of_one_class_is_as_good_as_any(pair: Callable[..., Any], row: Row) -> None:
    student, teacher, target = pair()
    terms = built(row, student, teacher)(student, teacher, torch.ones_like(target))
    assert all(term.isfinite() for term in terms.values())
    for gradient in torch.autograd.grad(sum(terms.values()), leaves(student), allow_unused=True):
        assert gradient is None or gradient.isfinite().all()


def constant(output: Output, value: float) -> Output:
    features, *maps = (
        torch.full_like(x, value).detach().requires_grad_() for x in (output.features, *output.maps)
    )
    return output._replace(features=features, maps=tuple(maps))


# Zero, a number that is rounded, one of more steps, and a large one.
CONSTANTS = ((7, 0.0), (512, 0.1), (7, -3.7), (512, 100.0))


@every_loss
def test_constant_features_keep_gradients_small(pair: Callable[..., Any], row: Row) -> None:
    for (d, value), whose in product(CONSTANTS, ("student", "teacher", "both")):
        student, teacher, target = pair(d=d)
        student = student if whose == "teacher" else constant(student, value)
        teacher = teacher if whose == "student" else constant(teacher, value)
        terms = built(row, student, teacher)(student, teacher, target)
        assert all(term.isfinite() for term in terms.values()), (d, value, whose)
        gradients = torch.autograd.grad(sum(terms.values()), leaves(student), allow_unused=True)
        assert any(gradient is not None for gradient in gradients)
        # With N = 4, K = 3 and |x| <= |value|, |random| < 5: an unstandardised distance has a
        # gradient of at most 2 (|value| + 5) / sqrt(N D), KD of T sqrt(2 / N) < 3, each of up to
        # four classifiers of |W| sqrt(2 / N) with |W| <= sqrt(K), together < 5; a standardised
        # distance of 4 / (sqrt(N) |band|) < 2, or none without a signal. Amplified residue has 4e6.
        gain = 1e-5**-0.5 if row.batch_norm else 1
        bound = gain * row.weight * (10 + 2 * (abs(value) + 5) / (4 * d) ** 0.5)
        for gradient in gradients:
            if gradient is not None:
                assert gradient.isfinite().all(), (d, value, whose)
                assert gradient.norm() < bound, (d, value, whose)


def spoilt(output: Output) -> Output:
    """The output with NaN in the first sample."""
    parts = [x.detach().clone() for x in leaves(output)]
    for x in parts:
        x[0] = torch.nan
    features, logits, *maps = parts
    return output._replace(features=features, logits=logits, maps=tuple(maps))


@every_loss
def test_nan_of_either_network_shows_in_the_loss(pair: Callable[..., Any], row: Row) -> None:
    student, teacher, target = pair()
    for networks in ((spoilt(student), teacher), (student, spoilt(teacher))):
        if row.mutual:
            networks[1].logits.requires_grad_()
        terms = built(row, student, teacher)(*networks, target)
        assert any(term.isnan() for term in terms.values())


def samples(output: Output, count: int) -> Output:
    features, logits, *maps = (x.detach()[:count].requires_grad_() for x in leaves(output))
    return Output(features, logits, tuple(maps), output.index[:count])  # type: ignore[index]


@every_loss
def test_no_samples_are_zero_or_refused(pair: Callable[..., Any], row: Row) -> None:
    student, teacher, target = pair()
    outputs = samples(student, 0), samples(teacher, 0)
    loss = built(row, student, teacher)
    try:
        terms = loss(*outputs, target[:0])
    except ValueError as error:
        assert row.least > 1 or row.batch_norm
        assert "a batch of 0, and needs" in str(error)  # noqa: PT017
        return
    assert all(term == 0 for term in terms.values())
    sum(terms.values()).backward()
    assert any(x.grad is not None for x in leaves(outputs[0]))


@every_loss
def test_one_sample_is_not_compared_with_many(pair: Callable[..., Any], row: Row) -> None:
    student, teacher, target = pair()
    loss = built(row, student, teacher).eval()
    with pytest.raises(ValueError, match=r"\[1, .*\[4, |\[4, .*\[1, |batch of 1,"):
        loss(samples(student, 1), teacher, target)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5])
@pytest.mark.parametrize(
    ("cls", "names"),
    [
        *((cls, ["weight"]) for cls in (AFDLoss, ATLoss, C2KDLoss, CRDLoss, FeatureLoss)),
        *((cls, ["weight"]) for cls in (FreeKDLoss, HintLoss, InfoNCELoss, KDLoss, MFHLoss)),
        *((cls, ["weight"]) for cls in (PKDLoss, SPLoss)),
        (DenseC2KDLoss, ["weight"]),
        (CIRKDLoss, [f"lambda_{name}" for name in CIRKD_TERMS]),
        (CIRKDv2Loss, [f"lambda_{name}" for name in CIRKD_CHANNELS]),
        (DISTLoss, ["beta", "gamma", "weight"]),
        (DKDLoss, ["alpha", "beta", "weight"]),
        (RKDLoss, ["distance_weight", "angle_weight"]),
        (fdkd, ["lambda_low", "lambda_high"]),
        (lambda **options: fdkd(alignment=True, **options), ["lambda_soft"]),
        (lambda **options: MutualLoss(KDLoss(), **options), ["task_weight"]),
    ],
)
def test_a_weight_is_finite_and_not_negative(cls: Any, names: list[str], value: float) -> None:
    for name in names:
        with pytest.raises(ValueError, match=f"{name}={value} must be at least 0"):
            cls(**{name: value})


@every_loss
def test_gradients_of_equal_parts_average_to_the_batchs_unless_samples_are_compared(
    row: Row, pair: Callable[..., Any]
) -> None:
    student, teacher, target = pair(8, size=(4, 4) if row.maps_only else (), dtype=torch.float64)
    target = torch.arange(target.numel()).view_as(target) % 3  # as many labels in each part
    loss = built(row, student, teacher).double()

    def gradients(*parts: slice) -> list[Tensor]:
        own = copy.deepcopy(loss)
        inputs = [x.detach().clone().requires_grad_() for x in leaves(student)]
        features, logits, *maps = inputs
        learner = Output(features, logits, tuple(maps), student.index)
        for part in parts:
            outputs = [
                map_tensors(output, lambda x, part=part: x[part]) for output in (learner, teacher)
            ]
            (sum(terms_of(own, *outputs, target[part]).values()) / len(parts)).backward()
        return [x.grad for x in (*inputs, *own.parameters()) if x.grad is not None]

    whole, halves = gradients(slice(8)), gradients(slice(4), slice(4, 8))
    errors = [
        (a - b).abs().max() / a.abs().max() for a, b in zip(whole, halves, strict=True) if a.any()
    ]
    assert errors
    assert (max(errors) > 1e-3) == (row.name in OF_THE_BATCH)
    assert max(errors) < 1e-9 or row.name in OF_THE_BATCH
