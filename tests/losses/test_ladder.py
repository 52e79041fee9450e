"""What holds for every loss, whatever it computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.alignment import SharedAlignmentHead
from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import (
    DistillationLoss,
    FDKDLoss,
    FeatureLoss,
    KDLoss,
    ShuffledPairs,
    feature_loss,
    kd_loss,
)
from fdkd_lightning.types import Output


def fdkd(alignment: bool = False, heads: bool = False, **options: Any) -> FDKDLoss:
    return FDKDLoss(
        FrequencyDecoupler(),
        SharedAlignmentHead() if alignment else None,
        band_heads=SharedAlignmentHead() if heads else None,
        **options,
    )


# (name, factory, needs a teacher)
METHODS: list[tuple[str, Callable[[], DistillationLoss], bool]] = [
    ("kd", KDLoss, True),
    ("feature", FeatureLoss, True),
    ("fdkd", fdkd, True),
    ("fdkd sum", lambda: fdkd(reduction="sum"), True),
    ("fdkd feature", lambda: fdkd(standardize="feature"), True),
    ("fdkd none", lambda: fdkd(standardize="none"), True),
    ("fdkd align", lambda: fdkd(alignment=True), False),
    ("fdkd heads", lambda: fdkd(heads=True), False),
    ("fdkd both", lambda: fdkd(alignment=True, heads=True), False),
]
# A control takes the pairs apart: equal outputs are not what it compares.
LOSSES = [
    *METHODS,
    ("shuffled", lambda: ShuffledPairs(fdkd(alignment=True, heads=True)), True),
]
every_loss, every_method = (
    pytest.mark.parametrize(
        ("factory", "needs_teacher"), [pytest.param(*row[1:], id=row[0]) for row in rows]
    )
    for rows in (LOSSES, METHODS)
)


def built(factory: Callable[[], DistillationLoss], student: Output) -> DistillationLoss:
    torch.manual_seed(0)
    loss = factory()
    loss.build(student, None)
    return loss


def leaves(output: Output) -> list[Tensor]:
    return [output.features, output.logits]


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


@every_loss
@pytest.mark.parametrize(
    "shape",
    [{}, {"n": 1}, {"k": 2}, {"n": 1, "k": 2, "d": 4}, {"size": (3, 5)}, {"n": 1, "size": (1, 1)}],
    ids=str,
)
def test_terms_are_named_finite_scalars_with_gradients(
    pair: Callable[..., Any],
    factory: Callable[[], DistillationLoss],
    needs_teacher: bool,
    shape: dict[str, Any],
) -> None:
    student, teacher, target = pair(**shape)
    terms = built(factory, student)(student, teacher, target)
    assert terms
    for name, term in terms.items():
        assert isinstance(name, str)
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert term.isfinite()
        assert term > 0
    sum(terms.values()).backward()
    gradients = [x.grad for x in leaves(student) if x.grad is not None]
    assert any(gradient.count_nonzero() for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all(x.grad is None for x in leaves(teacher))


@every_loss
def test_without_a_teacher_the_teacher_free_terms_are_left(
    pair: Callable[..., Any], factory: Callable[[], DistillationLoss], needs_teacher: bool
) -> None:
    student, teacher, target = pair()
    loss = built(factory, student)
    if needs_teacher:
        with pytest.raises(ValueError, match="no term without a teacher"):
            loss(student, None, target)
    else:
        terms = loss(student, None, target)
        assert terms.keys() < loss(student, teacher, target).keys()


@every_method
def test_equal_outputs_have_no_distance(
    pair: Callable[..., Any], factory: Callable[[], DistillationLoss], needs_teacher: bool
) -> None:
    student, _, target = pair()
    terms = values(built(factory, student)(student, student, target))
    distances = {name: v for name, v in terms.items() if name not in ("align", "heads")}
    assert distances == pytest.approx(dict.fromkeys(distances, 0.0), abs=1e-6)


@every_loss
def test_bf16_outputs_give_the_terms_of_the_same_numbers_in_float32(
    pair: Callable[..., Any], factory: Callable[[], DistillationLoss], needs_teacher: bool
) -> None:
    student, teacher, target = pair(dtype=torch.bfloat16)
    loss = built(factory, student)
    terms = loss(student, teacher, target)
    wide = (Output(*(x.float() for x in leaves(output))) for output in (student, teacher))
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert values(terms) == pytest.approx(values(loss(*wide, target)), rel=1e-6)


@every_loss
@pytest.mark.parametrize("precision", ["mixed", "true"])
def test_bf16_costs_at_most_a_hundredth(
    pair: Callable[..., Any],
    factory: Callable[[], DistillationLoss],
    needs_teacher: bool,
    precision: str,
) -> None:
    student, teacher, target = pair()
    loss = built(factory, student)
    expected = values(loss(student, teacher, target))
    # "true" is Lightning's bf16-true: the classifiers' weights are bf16 as well.
    loss = loss.bfloat16() if precision == "true" else loss
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed"):
        terms = loss(student, teacher, target)
    assert all(term.dtype == torch.float32 for term in terms.values())
    # The classifiers alone run in bf16, whose numbers have steps of 1/256.
    assert values(terms) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("size", [(), (2, 3)])
def test_the_module_is_the_function(pair: Callable[..., Any], size: tuple[int, ...]) -> None:
    student, teacher, target = pair(size=size)
    assert FeatureLoss()(student, teacher, target) == {
        "feature": feature_loss(student.features, teacher.features)
    }
    assert KDLoss()(student, teacher, target) == {"kd": kd_loss(student.logits, teacher.logits)}


@every_loss
def test_gradients(
    pair: Callable[..., Any],
    factory: Callable[[], DistillationLoss],
    needs_teacher: bool,
) -> None:
    student, teacher, target = pair(n=2, d=6, dtype=torch.float64)
    loss = built(factory, student).double()

    def terms(features: Tensor, logits: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(loss(Output(features, logits), teacher, target).values())

    assert torch.autograd.gradcheck(terms, (*leaves(student), *loss.parameters()))


@every_loss
@pytest.mark.parametrize("size", [(), (2, 3)])
def test_without_labels_distances_stay_and_classifiers_rest(
    pair: Callable[..., Any],
    factory: Callable[[], DistillationLoss],
    needs_teacher: bool,
    size: tuple[int, ...],
) -> None:
    student, teacher, target = pair(size=size)
    loss = built(factory, student)
    labelled = values(loss(student, teacher, target))
    terms = loss(student, teacher, torch.full_like(target, -100))
    found = values(terms)
    for name in found:
        assert found[name] == (0 if name in ("align", "heads") else labelled[name])
    inputs = [*leaves(student), *loss.parameters()]
    for name in {"align", "heads"} & terms.keys():
        for gradient in torch.autograd.grad(
            terms[name], inputs, allow_unused=True, retain_graph=True
        ):
            assert gradient is None or gradient.count_nonzero() == 0


@every_loss
@pytest.mark.parametrize("d", [7, 512])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 100.0])
@pytest.mark.parametrize("whose", ["student", "teacher", "both"])
def test_constant_features_keep_gradients_small(
    pair: Callable[..., Any],
    factory: Callable[[], DistillationLoss],
    needs_teacher: bool,
    d: int,
    value: float,
    whose: str,
) -> None:
    student, teacher, target = pair(d=d)
    constant = student._replace(features=torch.full_like(student.features, value).detach())
    student = constant if whose in ("student", "both") else student
    teacher = constant if whose in ("teacher", "both") else teacher
    student.features.requires_grad_()
    terms = built(factory, student)(student, teacher, target)
    assert all(term.isfinite() for term in terms.values())
    gradients = torch.autograd.grad(sum(terms.values()), leaves(student), allow_unused=True)
    assert any(gradient is not None for gradient in gradients)
    # With N = 4, K = 3 and |x| <= |value|, |random| < 5: an unstandardised distance has a gradient
    # of at most 2 (|value| + 5) / sqrt(N D), KD of T sqrt(2 / N) < 3, each of up to four
    # classifiers of |W| sqrt(2 / N) with |W| <= sqrt(K), together < 5; a standardised distance of
    # 4 / (sqrt(N) |band|) < 2, or none where there is no signal. Amplified residue has 4e6.
    bound = 10 + 2 * (abs(value) + 5) / (4 * d) ** 0.5
    for gradient in gradients:
        if gradient is not None:
            assert gradient.isfinite().all()
            assert gradient.norm() < bound
