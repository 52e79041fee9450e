from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.alignment import SharedAlignmentHead
from fdkd_lightning.decoupler import Decoupler, FrequencyDecoupler
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.types import Bands, Output

TARGET = torch.tensor([0, 2, -100, 1])
LAYOUTS = {
    "[N, D]": lambda size: ((4, size), 1),
    "[N, D, H, W]": lambda size: ((2, size, 2, 3), 1),
    "[N, L, D]": lambda size: ((2, 5, size), -1),
}


def outputs(features: np.ndarray | Tensor, dtype: torch.dtype = torch.float64) -> list[Output]:
    """A student and a teacher with these two features."""
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


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.sqrt((rows**2).sum(1, keepdims=True))


def sigma(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log(1 + np.abs(x))


def distances(features: np.ndarray, dim: int, mode: str) -> dict[str, float]:
    student, teacher = (np.moveaxis(x, dim, -1).reshape(-1, x.shape[dim]) for x in features)
    before = unit if mode == "feature" else np.asarray
    after = unit if mode == "band" else np.asarray
    (s_low, s_high), (t_low, t_high) = (
        [after(band) for band in split(before(rows))] for rows in (student, teacher)
    )
    return {
        "low": sum((s_low - t_low).flatten() ** 2) / s_low.size,
        "high": sum((sigma(s_high) - sigma(t_high)).flatten() ** 2) / s_high.size,
    }


def classify(head: SharedAlignmentHead, rows: np.ndarray, target: Tensor) -> float:
    """The sum of the cross-entropies of both bands of these features."""
    total = 0.0
    for name, band in zip(("low", "high"), split(rows), strict=True):
        weight, bias = (
            head.get_parameter(f"{name}.{part}").detach().numpy() for part in ("weight", "bias")
        )
        scores = np.maximum(band, 0) @ weight.T + bias
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
@pytest.mark.parametrize("size", [7, 64, 512, 768])
@pytest.mark.parametrize("mode", ["band", "feature", "none"])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_distances_are_those_of_the_formula(
    layout: str, size: int, mode: Any, dtype: torch.dtype, error: float
) -> None:
    shape, dim = LAYOUTS[layout](size)
    features = random_features(*shape)
    loss = FDKDLoss(FrequencyDecoupler(dim=dim), standardize=mode)
    terms = loss(*outputs(features, dtype), TARGET)
    assert all(term.dtype == dtype for term in terms.values())
    assert values(terms) == pytest.approx(distances(features, dim, mode), rel=error)


@pytest.mark.parametrize("size", [7, 64, 512, 768])
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
    bands = dict(zip(("low", "high"), split(features), strict=True))
    for name, classifier in classifiers.items():
        for band, rows in bands.items():
            weight, bias = (
                classifier.get_parameter(f"{band}.{part}").detach().numpy()
                for part in ("weight", "bias")
            )
            np.testing.assert_allclose(
                heads[f"{name}_{band}"].detach(),
                np.maximum(rows, 0) @ weight.T + bias,
                rtol=0,
                atol=1e-12,
            )


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
@pytest.mark.parametrize("mode", ["band", "feature", "none"])
def test_sum_is_mean_times_d(pair: Callable[..., Any], size: tuple[int, ...], mode: Any) -> None:
    student, teacher, target = pair(d=12, size=size)
    mean, total = (
        values(
            FDKDLoss(FrequencyDecoupler(), standardize=mode, reduction=reduction)(
                student, teacher, target
            )
        )
        for reduction in ("mean", "sum")
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
    loss = FDKDLoss(Constants(), low_loss=nn.L1Loss(), high_loss=nn.MSELoss(), standardize="none")
    assert values(loss(student, teacher, torch.tensor([0]))) == {"low": 0.75, "high": 4.0}


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


@pytest.mark.parametrize("option", ["standardize", "reduction"])
def test_an_unknown_option_is_an_error(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}='batch' is unknown: choose one of .*none|sum"):
        FDKDLoss(FrequencyDecoupler(), **{option: "batch"})


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


def test_a_state_dict_sizes_unbuilt_classifiers(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair()
    built, unbuilt = (
        FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(*size), band_heads=heads)
        for size, heads in (((16, 3), SharedAlignmentHead(16, 3)), ((), SharedAlignmentHead()))
    )
    unbuilt.load_state_dict(built.state_dict())
    unbuilt.build(student, teacher)
    assert values(unbuilt(student, teacher, target)) == values(built(student, teacher, target))


@pytest.mark.parametrize("part", ["alignment", "band_heads"])
def test_classifiers_along_another_axis_are_an_error(part: str) -> None:
    student, teacher = (Output(torch.randn(2, 5, 16), torch.zeros(2, 3)) for _ in range(2))
    loss = FDKDLoss(FrequencyDecoupler(dim=-1), **{part: SharedAlignmentHead()})
    with pytest.raises(ValueError, match=r"decoupler\.dim=-1 of features \[2, 5, 16\].*dim 1"):
        loss.build(student, teacher)
    FDKDLoss(FrequencyDecoupler(dim=-1), **{part: SharedAlignmentHead(16, 3)}).build(
        *(Output(output.features[:, 0], output.logits) for output in (student, teacher))
    )
