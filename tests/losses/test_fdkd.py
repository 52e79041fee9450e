from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import (
    Decoupler,
    FrequencyDecoupler,
    LearnableFrequencyDecoupler,
)
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.controls import ShuffledPairs
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.reduction import MeanOverChannels, SumOverChannels
from fdkd_lightning.losses.signed_log import SignedLog1p
from fdkd_lightning.losses.standardizer import UnitLength, UnitVariance, Unstandardized
from fdkd_lightning.types import Bands, Output

TARGET = torch.tensor([0, 2, -100, 1])
LAYOUTS = {
    "[N, D]": lambda size: ((4, size), 1),
    "[N, D, H, W]": lambda size: ((2, size, 2, 3), 1),
    "[N, L, D]": lambda size: ((2, 5, size), -1),
}


# Arguments of each way to standardise, and of an early logarithm.
STANDARDISED: dict[str, Callable[[], dict[str, Any]]] = {
    "bands": dict,
    "bands, variance 1": lambda: {"band_standardizer": UnitVariance()},
    "feature": lambda: {
        "band_standardizer": Unstandardized(),
        "feature_standardizer": UnitLength(),
    },
    "feature, variance 1": lambda: {
        "band_standardizer": Unstandardized(),
        "feature_standardizer": UnitVariance(),
    },
    "neither": lambda: {"band_standardizer": Unstandardized()},
}
LOGARITHM: dict[str, Callable[[], dict[str, Any]]] = {
    "after": dict,
    "before": lambda: {"high_transform": SignedLog1p(), "high_loss": nn.MSELoss()},
}
every_standardisation = pytest.mark.parametrize("standardised", STANDARDISED)


def outputs(features: np.ndarray | Tensor, dtype: torch.dtype = torch.float64) -> list[Output]:
    """Outputs of a student and a teacher with these two features."""
    logits = torch.zeros(len(features[0]), 3)
    return [Output(torch.as_tensor(x).to(dtype), logits) for x in features]


def random_features(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(loc=0.5, size=(2, *shape))


# The formulas once more, in numpy float64, on rows of features.


def split(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convolve with the kernel (2/D) sum_k cos(2 pi k (n - m) / D) of the low bins."""
    size = rows.shape[1]
    lags = np.subtract.outer(np.arange(size), np.arange(size)) % size
    kernel = sum(np.cos(2 * np.pi * k * np.arange(size) / size) for k in range(1, size // 4 + 1))
    low = rows @ (2 / size * kernel[lags])
    return low, rows - rows.mean(1, keepdims=True) - low


def centred(rows: np.ndarray, variance: bool) -> np.ndarray:
    """Rows of mean 0, and of length or variance 1."""
    rows = rows - rows.mean(1, keepdims=True)
    size = rows.shape[1] if variance else 1
    return rows * np.sqrt(size / (rows**2).sum(1, keepdims=True))


def sigma(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log(1 + np.abs(x))


def distances(
    features: np.ndarray, dim: int, standardised: str = "bands", logarithm: str = "after"
) -> dict[str, float]:
    """Both distances, averaged over all elements."""
    where, variance = standardised.split(",")[0], "variance" in standardised
    compared = []
    for x in features:
        rows = np.moveaxis(x, dim, -1).reshape(-1, x.shape[dim])
        low, high = split(centred(rows, variance) if where == "feature" else rows)
        high = sigma(high) if logarithm == "before" else high
        if where == "bands":
            low, high = centred(low, variance), centred(high, variance)
        compared.append((low, sigma(high) if logarithm == "after" else high))
    (s_low, s_high), (t_low, t_high) = compared
    return {
        "low": sum((s_low - t_low).flatten() ** 2) / s_low.size,
        "high": sum((s_high - t_high).flatten() ** 2) / s_high.size,
    }


def weights(head: SharedAlignmentHead, band: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the classifier of a band."""
    weight, bias = (
        head.get_parameter(f"{band}.{part}").detach().numpy() for part in ("weight", "bias")
    )
    return weight, bias


def scores_by_hand(head: SharedAlignmentHead, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Class scores of both bands of these features."""
    scores = {}
    for band, x in zip(("low", "high"), split(rows), strict=True):
        weight, bias = weights(head, band)
        scores[band] = np.maximum(x, 0) @ weight.T + bias
    return scores


def classify(head: SharedAlignmentHead, rows: np.ndarray, target: Tensor) -> float:
    """The sum of the cross-entropies of both bands of these features."""
    total = 0.0
    for scores in scores_by_hand(head, rows).values():
        losses = [
            np.log(np.exp(row).sum()) - row[label]
            for row, label in zip(scores, target.tolist(), strict=True)
            if label != -100
        ]
        total += sum(losses) / len(losses)
    return total


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


class Constants(Decoupler):
    """Halves of the features, each over the whole width: no Fourier transform."""

    def forward(self, x: Tensor) -> Bands:
        first = torch.arange(x.shape[1]) < x.shape[1] // 2
        return Bands(x * first, x * ~first)


# Standardising.


@pytest.mark.parametrize("size", [7, 64, 512])
def test_a_band_of_residue_has_no_gradient(size: int) -> None:
    wave = torch.cos(2 * torch.pi * torch.arange(size) / size + 0.7)
    student, teacher = outputs([wave[None], torch.randn(1, size)], torch.float32)
    student.features.requires_grad_()
    terms = FDKDLoss(FrequencyDecoupler())(student, teacher, torch.tensor([0]))
    gradients = {
        name: torch.autograd.grad(term, student.features, retain_graph=True)[0].count_nonzero() > 0
        for name, term in terms.items()
    }
    assert gradients == {"low": True, "high": False}


def test_a_dead_sample_leaves_the_others_alone() -> None:
    x = torch.randn(3, 64)
    x[1] = 0.1
    gradients = []
    for rows in (x, x[[0, 2]]):
        student, teacher = outputs([rows, torch.ones_like(rows).cumsum(1)], torch.float32)
        student.features.requires_grad_()
        terms = FDKDLoss(FrequencyDecoupler())(student, teacher, TARGET)
        (gradient,) = torch.autograd.grad(sum(terms.values()) * len(rows), student.features)
        gradients.append(gradient)
    assert gradients[0][1].count_nonzero() == 0
    torch.testing.assert_close(gradients[0][[0, 2]], gradients[1])


# The terms.


def test_a_value_worked_out_by_hand() -> None:
    # Low bands [0.5, -1.5, -0.5, 1.5] and [-1.5, -0.5, 1.5, 0.5] of length sqrt 5 are at right
    # angles: |a - b|^2 = 2, over D = 4. High bands +-1.5 [-1, 1, -1, 1] of length 3 are opposite:
    # every element is 1/2 against -1/2, so (2 log 1.5)^2.
    student, teacher = outputs(torch.tensor([[[2.0, 0, 5, 1]], [[1.0, 2, 0, 5]]]))
    terms = FDKDLoss(FrequencyDecoupler())(student, teacher, torch.tensor([0]))
    assert values(terms) == pytest.approx({"low": 0.5, "high": 4 * np.log(1.5) ** 2}, abs=1e-14)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("size", "dtype", "error"),
    [(7, torch.float64, 1e-10), (64, torch.float64, 1e-10), (768, torch.float32, 1e-5)],
)
@pytest.mark.parametrize("logarithm", LOGARITHM)
@every_standardisation
def test_distances_are_those_of_the_formula(
    layout: str, size: int, standardised: str, logarithm: str, dtype: torch.dtype, error: float
) -> None:
    shape, dim = LAYOUTS[layout](size)
    features = random_features(*shape)
    loss = FDKDLoss(
        FrequencyDecoupler(dim=dim), **STANDARDISED[standardised](), **LOGARITHM[logarithm]()
    )
    terms = loss(*outputs(features, dtype), TARGET)
    assert all(term.dtype == dtype for term in terms.values())
    assert values(terms) == pytest.approx(
        distances(features, dim, standardised, logarithm), rel=error
    )


@pytest.mark.parametrize("size", [7, 512])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_classifier_terms_are_those_of_the_formula(
    size: int, dtype: torch.dtype, error: float
) -> None:
    alignment, heads = (SharedAlignmentHead(size, 3).double() for _ in range(2))
    student, teacher = random_features(4, size)
    expected = {
        "align": classify(alignment, student, TARGET) + classify(alignment, teacher, TARGET),
        "heads": classify(heads, student, TARGET),
    }
    loss = FDKDLoss(FrequencyDecoupler(), alignment, band_heads=heads).to(dtype)
    terms = values(loss(*outputs([student, teacher], dtype), TARGET))
    assert {name: terms[name] for name in expected} == pytest.approx(expected, rel=error)
    alone = values(loss(outputs([student, teacher], dtype)[0], None, TARGET))
    expected["align"] = classify(alignment, student, TARGET)
    if dtype == torch.float64:
        assert alone == pytest.approx(expected, rel=error)


@pytest.mark.parametrize("alignment", [True, False])
@pytest.mark.parametrize("band_heads", [True, False])
def test_the_heads_are_the_classifiers_on_the_students_bands(
    alignment: bool, band_heads: bool
) -> None:
    features = random_features(4, 16)[0]
    student = Output(torch.from_numpy(features), torch.zeros(4, 3))
    classifiers = {
        name: SharedAlignmentHead(16, 3).double()
        for name, there in (("align", alignment), ("heads", band_heads))
        if there
    }
    loss = FDKDLoss(
        FrequencyDecoupler(), classifiers.get("align"), band_heads=classifiers.get("heads")
    )
    heads = loss.heads(student)
    assert list(heads) == [f"{name}_{band}" for name in classifiers for band in ("low", "high")]
    for name, classifier in classifiers.items():
        for band, scores in scores_by_hand(classifier, features).items():
            found = heads[f"{name}_{band}"].detach()
            np.testing.assert_allclose(found, scores, rtol=0, atol=1e-12)


def test_undecided_classifiers_cost_log_k_each(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair(k=5)
    loss = FDKDLoss(
        FrequencyDecoupler(), SharedAlignmentHead(16, 5), band_heads=SharedAlignmentHead(16, 5)
    )
    for parameter in loss.parameters():
        nn.init.zeros_(parameter)
    terms = loss(student, teacher, target)
    assert terms["align"].item() == pytest.approx(4 * np.log(5), rel=1e-6)
    assert terms["heads"].item() == pytest.approx(2 * np.log(5), rel=1e-6)


@pytest.mark.parametrize("size", [(), (2, 3)])
@every_standardisation
def test_sum_is_mean_times_d(
    pair: Callable[..., Any], size: tuple[int, ...], standardised: str
) -> None:
    student, teacher, target = pair(d=12, size=size)
    mean, total = (
        values(
            FDKDLoss(
                FrequencyDecoupler(), channel_reduction=reduction, **STANDARDISED[standardised]()
            )(student, teacher, target)
        )
        for reduction in (MeanOverChannels(), SumOverChannels())
    )
    assert total == pytest.approx({name: 12 * value for name, value in mean.items()}, rel=1e-6)


def test_each_lambda_weighs_its_own_term(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    alignment = SharedAlignmentHead(16, 3)
    plain, weighted = (
        values(FDKDLoss(FrequencyDecoupler(), alignment, **weights)(student, teacher, target))
        for weights in ({}, {"lambda_low": 5.0, "lambda_high": 0.25})
    )
    assert weighted == pytest.approx(
        {"low": 5 * plain["low"], "high": plain["high"] / 4, "align": plain["align"]}, rel=1e-6
    )


@pytest.mark.parametrize("alignment", [True, False])
@pytest.mark.parametrize("band_heads", [True, False])
def test_the_terms_are_those_of_the_parts(
    pair: Callable[..., Any], alignment: bool, band_heads: bool
) -> None:
    student, teacher, target = pair()
    loss = FDKDLoss(
        FrequencyDecoupler(),
        SharedAlignmentHead(16, 3) if alignment else None,
        band_heads=SharedAlignmentHead(16, 3) if band_heads else None,
    )
    own = ["align"] * alignment + ["heads"] * band_heads
    assert list(loss(student, teacher, target)) == ["low", "high", *own]
    if own:
        assert list(loss(student, None, target)) == own
    else:
        with pytest.raises(ValueError, match="FDKDLoss has no term without a teacher"):
            loss(student, None, target)


def test_alignment_and_band_heads_do_not_touch_the_distances(pair: Callable[..., Any]) -> None:
    plain = FDKDLoss(FrequencyDecoupler())(*pair())
    heads = SharedAlignmentHead(16, 3), SharedAlignmentHead(16, 3)
    full = FDKDLoss(FrequencyDecoupler(), heads[0], band_heads=heads[1])(*pair())
    assert all(torch.equal(full[name], plain[name]) for name in ("low", "high"))


def test_losses_and_split_can_be_replaced() -> None:
    # Halves [3, 0 | 0, 0] and [0, 0 | 4, 0]: L1 low 3 / 4, MSE high 16 / 4.
    student, teacher = outputs(torch.tensor([[[3.0, 0, 4, 0]], [[0.0, 0, 0, 0]]]))
    loss = FDKDLoss(
        Constants(),
        low_loss=nn.L1Loss(),
        high_loss=nn.MSELoss(),
        band_standardizer=Unstandardized(),
    )
    assert values(loss(student, teacher, torch.tensor([0]))) == {"low": 0.75, "high": 4.0}


# Standardisation, and the position of the logarithm.


def test_the_defaults_are_the_papers(pair: Callable[..., Any]) -> None:
    spelt_out: dict[str, Any] = {
        "low_loss": nn.MSELoss(),
        "high_loss": LogMSELoss(),
        "band_heads": None,
        "band_standardizer": UnitLength(),
        "feature_standardizer": None,
        "high_transform": None,
        "channel_reduction": MeanOverChannels(),
        "lambda_low": 1.0,
        "lambda_high": 1.0,
        "lambda_soft": None,
        "soft_temperature": 1.0,
    }
    head = SharedAlignmentHead(16, 3)
    default, same = (
        values(FDKDLoss(FrequencyDecoupler(), head, **options)(*pair()))
        for options in ({}, spelt_out)
    )
    assert list(default) == ["low", "high", "align"]
    assert default == same


def test_values_with_unit_variance_and_an_early_logarithm_worked_out_by_hand() -> None:
    # The features of the value above. Low bands of length sqrt 5 at right angles, now of length 2:
    # |a - b|^2 = 8 over D = 4. High bands +-1.5 [-1, 1, -1, 1] now have +-1 in each element: 2^2
    # where the logarithm came before, (2 log 2)^2 where it comes after.
    student, teacher = outputs(torch.tensor([[[2.0, 0, 5, 1]], [[1.0, 2, 0, 5]]]))
    target = torch.tensor([0])
    for standardised, logarithm, expected in (
        ("bands", "before", {"low": 0.5, "high": 1.0}),
        ("bands, variance 1", "after", {"low": 2.0, "high": 4 * np.log(2) ** 2}),
        ("bands, variance 1", "before", {"low": 2.0, "high": 4.0}),
    ):
        loss = FDKDLoss(
            FrequencyDecoupler(), **STANDARDISED[standardised](), **LOGARITHM[logarithm]()
        )
        assert values(loss(student, teacher, target)) == pytest.approx(expected, abs=1e-14)


def test_without_standardised_bands_the_position_of_the_logarithm_makes_no_difference(
    pair: Callable[..., Any],
) -> None:
    for standardised in ("feature", "neither"):
        after, before = (
            values(
                FDKDLoss(FrequencyDecoupler(), **STANDARDISED[standardised](), **logarithm())(
                    *pair()
                )
            )
            for logarithm in LOGARITHM.values()
        )
        assert after == before


def test_feature_and_bands_can_both_be_standardised() -> None:
    features = random_features(3, 16)
    loss = FDKDLoss(
        FrequencyDecoupler(),
        band_standardizer=UnitVariance(),
        feature_standardizer=UnitLength(),
        high_transform=SignedLog1p(),
        high_loss=nn.L1Loss(),
    )
    highs = [centred(sigma(split(centred(x, False))[1]), True) for x in features]
    expected = sum(abs(highs[0] - highs[1]).flatten()) / highs[0].size
    found = loss(*outputs(features), TARGET)["high"].item()
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("logarithm", LOGARITHM)
@pytest.mark.parametrize("standardised", ["bands", "bands, variance 1"])
def test_a_constant_sample_has_no_gradient(standardised: str, logarithm: str) -> None:
    x = torch.randn(3, 64)
    x[1] = 0.1
    student, teacher = outputs([x, torch.randn(3, 64)], torch.float32)
    student.features.requires_grad_()
    loss = FDKDLoss(FrequencyDecoupler(), **STANDARDISED[standardised](), **LOGARITHM[logarithm]())
    terms = loss(student, teacher, TARGET)
    (gradient,) = torch.autograd.grad(sum(terms.values()), student.features)
    assert gradient.isfinite().all()
    assert gradient.count_nonzero(dim=1).gt(0).tolist() == [True, False, True]


# Learning from the teacher's predictions.


def soft_by_hand(
    head: SharedAlignmentHead,
    features: np.ndarray,
    logits: np.ndarray,
    targets: list[Tensor],
    temperature: float,
) -> float:
    """T^2 times the sum over networks and bands of the mean divergence of unlabelled rows."""
    total = 0.0
    for rows, target in zip(features, targets, strict=True):
        for scores in scores_by_hand(head, rows).values():
            losses = []
            for row, z, label in zip(scores, logits, target.tolist(), strict=True):
                if label == -100:
                    log_q, log_p = (
                        x / temperature - np.log(np.exp(x / temperature).sum()) for x in (row, z)
                    )
                    losses.append(sum(np.exp(log_p) * (log_p - log_q)))
            total += sum(losses) / len(losses)
    return temperature**2 * total


@pytest.mark.parametrize(
    ("options", "weight", "temperature"),
    [
        ({"lambda_soft": 1.0}, 1.0, 1.0),
        ({"lambda_soft": 0.3, "soft_temperature": 4.0}, 0.3, 4.0),
        ({"lambda_soft": 0.0}, 0.0, 1.0),
    ],
)
def test_the_soft_term_is_that_of_the_formula(
    options: dict[str, float], weight: float, temperature: float
) -> None:
    features = random_features(4, 16)
    logits = 3 * np.random.default_rng(1).normal(size=(4, 3))
    target = torch.tensor([0, -100, -100, 1])
    student, teacher = outputs(features)
    teacher = teacher._replace(logits=torch.from_numpy(logits))
    head = SharedAlignmentHead(16, 3).double()
    plain = values(FDKDLoss(FrequencyDecoupler(), head)(student, teacher, target))
    found = values(FDKDLoss(FrequencyDecoupler(), head, **options)(student, teacher, target))
    assert list(found) == ["low", "high", "align", "soft"]
    expected = weight * soft_by_hand(head, features, logits, [target, target], temperature)
    assert found.pop("soft") == pytest.approx(expected, rel=1e-10)
    assert found == pytest.approx(plain, rel=1e-12)  # by one function without the soft term


def test_the_soft_term_goes_with_each_networks_own_labels() -> None:
    features = random_features(4, 16)
    logits = np.random.default_rng(1).normal(size=(4, 3))
    target, other = torch.tensor([0, -100, -100, 1]), torch.tensor([-100, 2, 0, 1])
    student, teacher = outputs(features)
    teacher = teacher._replace(logits=torch.from_numpy(logits), label=other)
    head = SharedAlignmentHead(16, 3).double()
    loss = FDKDLoss(FrequencyDecoupler(), head, lambda_soft=1.0)
    found = loss(student, teacher, target)["soft"].item()
    expected = soft_by_hand(head, features, logits, [target, other], 1.0)
    assert found == pytest.approx(expected, rel=1e-10)


def test_the_soft_term_teaches_classifiers_and_student_alone(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    head = SharedAlignmentHead(16, 3)
    FDKDLoss(FrequencyDecoupler(), head, lambda_soft=1.0)(student, teacher, target)[
        "soft"
    ].backward()
    assert teacher.features.grad is None
    assert teacher.logits.grad is None
    assert student.logits.grad is None
    # Sample 0 alone has no label.
    assert student.features.grad.count_nonzero(dim=1).gt(0).tolist() == [True, False, False, False]
    assert all(p.grad.count_nonzero() > 0 for p in head.parameters())


def test_without_a_teacher_there_is_no_soft_term(pair: Callable[..., Any]) -> None:
    student, _, target = pair()
    loss = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(16, 3), lambda_soft=1.0)
    assert list(loss(student, None, target)) == ["align"]


# What the decoupler adds.


class Telling(Constants):
    """A split with a term and a value to be logged."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([3.0]))

    def terms(self) -> dict[str, Tensor]:
        return {"own": self.theta[0] ** 2}

    def logged_values(self) -> dict[str, Tensor]:
        return {"theta": self.theta[0].detach()}


@pytest.mark.parametrize("teacher", [True, False])
def test_the_decouplers_terms_come_last_and_its_record_is_the_losss(
    pair: Callable[..., Any], teacher: bool
) -> None:
    student, other, target = pair()
    loss = FDKDLoss(
        Telling(),
        SharedAlignmentHead(16, 3),
        band_heads=SharedAlignmentHead(16, 3),
        lambda_low=5.0,
        channel_reduction=SumOverChannels(),
    )
    terms = loss(student, other if teacher else None, target)
    assert list(terms) == ["low", "high"] * teacher + ["align", "heads", "own"]
    # At the scale of the distances, here sums over D; no lambda on top.
    assert terms["own"].item() == 16 * 9
    terms["own"].backward()
    assert loss.get_parameter("decoupler.theta").grad.tolist() == [16 * 6]
    assert loss.logged_values() == {"theta": torch.tensor(3.0)}
    control = ShuffledPairs(loss)
    assert control.logged_values() == loss.logged_values()
    assert control(student, other, target)["own"].item() == 16 * 9


def test_a_term_of_the_decoupler_is_no_reason_to_go_without_a_teacher(
    pair: Callable[..., Any],
) -> None:
    student, _, target = pair()
    with pytest.raises(ValueError, match="FDKDLoss has no term without a teacher"):
        FDKDLoss(Telling())(student, None, target)


def test_a_plain_split_adds_nothing() -> None:
    assert FDKDLoss(FrequencyDecoupler()).logged_values() == {}


def test_a_learnable_cut_off_is_held_recorded_and_learned(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    decoupler = LearnableFrequencyDecoupler(threshold=0.4, strength=2.0)
    loss = FDKDLoss(decoupler, channel_reduction=SumOverChannels())
    nn.init.zeros_(decoupler.theta)  # the cut-off 1/2
    terms = loss(student, teacher, target)
    assert list(terms) == ["low", "high", "cutoff"]
    assert terms["cutoff"].item() == pytest.approx(16 * 2 * 0.1**2, rel=1e-5)
    assert loss.logged_values() == {"threshold": torch.tensor(0.5)}
    assert {*loss.parameters()} == {decoupler.theta}
    for term in terms.values():
        (gradient,) = torch.autograd.grad(term, decoupler.theta, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient.count_nonzero() == 1


# Gradients.


def test_the_classifiers_learn_from_the_teacher_which_does_not(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    student = student._replace(features=torch.zeros_like(student.features, requires_grad=True))
    alignment, heads = SharedAlignmentHead(16, 3), SharedAlignmentHead(16, 3)
    terms = FDKDLoss(FrequencyDecoupler(), alignment, band_heads=heads)(student, teacher, target)
    sum(terms.values()).backward()
    assert teacher.features.grad is None
    # Zero features leave the weights to the teacher alone; band heads never see it.
    for band in ("low", "high"):
        name = f"{band}.weight"
        assert alignment.get_parameter(name).grad.count_nonzero() > 0
        assert heads.get_parameter(name).grad.count_nonzero() == 0


# Errors and sizes.


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_soft_alignment_without_shared_classifiers_is_an_error(weight: float) -> None:
    message = f"lambda_soft={weight} .* give alignment=SharedAlignmentHead"
    with pytest.raises(ValueError, match=message):
        FDKDLoss(FrequencyDecoupler(), band_heads=SharedAlignmentHead(8, 3), lambda_soft=weight)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_soft_temperature_not_above_0_is_an_error(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"soft_temperature={temperature} must be above 0"):
        FDKDLoss(FrequencyDecoupler(), soft_temperature=temperature)


def test_features_of_different_widths_are_an_error_that_names_the_projector() -> None:
    student, teacher = (Output(torch.randn(4, d), torch.zeros(4, 3)) for d in (8, 16))
    loss = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(8, 3))
    with pytest.raises(ValueError, match=r"\[4, 8\].*\[4, 16\].*`projector`"):
        loss(student, teacher, TARGET)


def test_build_sizes_the_classifiers(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair(d=16, k=5)
    loss = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(), band_heads=SharedAlignmentHead())
    assert not list(loss.parameters())
    loss.build(student, teacher)
    assert {
        name: list(p.shape) for name, p in loss.named_parameters() if name.endswith("weight")
    } == {
        f"{head}.{band}.weight": [5, 16]
        for head in ("alignment", "band_heads")
        for band in ("low", "high")
    }
    assert list(loss(student, None, target)) == ["align", "heads"]


@pytest.mark.parametrize("sizes", [{"in_features": 8}, {"num_classes": 7}])
@pytest.mark.parametrize("part", ["alignment", "band_heads"])
def test_build_refuses_classifiers_of_other_sizes(
    pair: Callable[..., Any], part: str, sizes: dict[str, int]
) -> None:
    student, teacher, _ = pair(d=16, k=5)
    loss = FDKDLoss(FrequencyDecoupler(), **{part: SharedAlignmentHead(**sizes)})
    with pytest.raises(ValueError, match=r"=[87] does not fit the models, which need (16|5)"):
        loss.build(student, teacher)


def test_a_state_dict_is_restored_once_the_classifiers_are_built(
    pair: Callable[..., Any],
) -> None:
    student, teacher, target = pair()
    losses = []
    for seed in range(2):
        torch.manual_seed(seed)
        loss = FDKDLoss(
            LearnableFrequencyDecoupler(0.5 - seed / 4),
            SharedAlignmentHead(),
            band_heads=SharedAlignmentHead(),
        )
        loss.build(student, teacher)
        losses.append(loss)
    first, second = (values(loss(student, teacher, target)) for loss in losses)
    assert first != second
    losses[1].load_state_dict(losses[0].state_dict())
    terms = values(losses[1](student, teacher, target))
    # The cut-off comes along; its term still draws it to where this one's began.
    assert terms.pop("cutoff") == pytest.approx(0.1 * 0.25**2, rel=1e-5)
    del first["cutoff"]
    assert terms == first


@pytest.mark.parametrize("part", ["alignment", "band_heads"])
def test_classifiers_along_another_axis_are_an_error(part: str) -> None:
    student, teacher = (Output(torch.randn(2, 5, 16), torch.zeros(2, 3)) for _ in range(2))
    loss = FDKDLoss(FrequencyDecoupler(dim=-1), **{part: SharedAlignmentHead()})
    with pytest.raises(ValueError, match=r"decoupler\.dim=-1 of features \[2, 5, 16\].*dim 1"):
        loss.build(student, teacher)
    FDKDLoss(FrequencyDecoupler(dim=-1), **{part: SharedAlignmentHead(16, 3)}).build(
        *(Output(output.features[:, 0], output.logits) for output in (student, teacher))
    )


def test_a_lambda_of_none_leaves_its_term_out(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    head = SharedAlignmentHead(16, 3)
    terms = FDKDLoss(FrequencyDecoupler(), head)(student, teacher, target)
    for low, high, left in ((None, 1.0, ["high"]), (1.0, None, ["low"]), (None, None, [])):
        loss = FDKDLoss(FrequencyDecoupler(), head, lambda_low=low, lambda_high=high)
        found = loss(student, teacher, target)
        assert found == {name: terms[name] for name in [*left, "align"]}


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(ValueError, match="leave no term"):
        FDKDLoss(FrequencyDecoupler(), lambda_low=None, lambda_high=None)


def test_a_decouplers_term_must_not_take_a_distances_name(pair: Callable[..., Any]) -> None:
    class Low(FrequencyDecoupler):
        def terms(self) -> dict[str, Tensor]:
            return {"low": torch.tensor(1.0)}

    with pytest.raises(ValueError, match="Low names a term low"):
        FDKDLoss(Low())(*pair())


def test_large_features_keep_their_high_band_logged_before() -> None:
    x = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))
    small, large = (
        FDKDLoss(FrequencyDecoupler(), **LOGARITHM["before"]())(
            *outputs(scale * x, torch.float32), torch.tensor([0, 1, 2, 0])
        )["high"]
        for scale in (1e4, 1e7)
    )
    # Logarithms of ever larger numbers are ever more alike, and far from vanishing.
    assert 0.2 * small < large < small


def test_features_of_fewer_places_than_labels_have_shared_heads_too() -> None:
    torch.manual_seed(0)
    student, teacher = (
        Output(torch.randn(2, 8, 3, 4), torch.randn(2, 3, 12, 16)) for _ in range(2)
    )
    target = torch.randint(0, 3, (2, 12, 16))
    target[:, :2] = -100
    loss = FDKDLoss(
        FrequencyDecoupler(), SharedAlignmentHead(8, 3), band_heads=SharedAlignmentHead(8, 3)
    )
    assert {*loss(student, teacher, target)} == {"low", "high", "align", "heads"}
    assert all(logits.shape == (2, 3, 12, 16) for logits in loss.heads(student).values())
    void = torch.full_like(target, -100)
    assert loss(student, teacher, void)["align"] == 0


@pytest.mark.parametrize("shape", [(3, 8, 1, 5), (3, 8, 2, 3)])
def test_tokens_with_one_label_are_compared_one_by_one_and_classified_together(
    shape: tuple[int, ...],
) -> None:
    features = random_features(*shape)
    student, teacher = outputs(features)
    torch.manual_seed(0)
    loss = FDKDLoss(
        FrequencyDecoupler(),
        SharedAlignmentHead(8, 3),
        band_heads=SharedAlignmentHead(8, 3),
        lambda_soft=1.0,
    ).double()
    target = torch.tensor([2, -100, 0])
    found = values(loss(student, teacher, target))
    expected = distances(features, 1)

    def averaged(head: SharedAlignmentHead | None, x: np.ndarray) -> list[np.ndarray]:
        """Scores of both bands [N, K], averaged over positions."""
        assert head is not None
        rows = np.moveaxis(x.reshape(3, 8, -1), 1, 2)
        samples = [scores_by_hand(head, sample) for sample in rows]
        return [np.stack([s[band].mean(0) for s in samples]) for band in ("low", "high")]

    shared_student, shared_teacher = (averaged(loss.alignment, x) for x in features)
    heads = averaged(loss.band_heads, features[0])

    def cost(scores: np.ndarray) -> float:
        first, last = (np.log(np.exp(scores[i]).sum()) - scores[i, y] for i, y in ((0, 2), (2, 0)))
        return float(first + last) / 2

    expected["align"] = sum(cost(scores) for scores in shared_student + shared_teacher)
    expected["heads"] = sum(cost(scores) for scores in heads)
    # The teacher's prediction is undecided: KL(1/3 || q), of the second sample.
    expected["soft"] = sum(
        float(np.log(np.exp(scores[1]).sum()) - scores[1].mean() - np.log(3))
        for scores in shared_student + shared_teacher
    )
    assert found == pytest.approx(expected, rel=1e-9)
    logits = loss.heads(student)
    assert list(logits) == ["align_low", "align_high", "heads_low", "heads_high"]
    for scores, by_hand in zip(logits.values(), shared_student + heads, strict=True):
        np.testing.assert_allclose(scores.detach(), by_hand, rtol=0, atol=1e-12)
