from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.c2kd import C2KDLoss
from fdkd_lightning.losses.controls import ShuffledPairs
from fdkd_lightning.losses.rank_agreement import rank_agreement
from fdkd_lightning.types import Output

Pair = tuple[Output, Output, Tensor]
both_forms = pytest.mark.parametrize("non_target", ["zero", "masked"])


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / sum(np.exp(z))


def kl(z: np.ndarray, other: np.ndarray) -> float:
    """KL(softmax z || softmax other)."""
    p, q = softmax(z), softmax(other)
    return float(sum(p * np.log(p / q)))


def left_out(z: np.ndarray, target: int, non_target: str) -> np.ndarray:
    if non_target == "masked":
        return np.delete(z, target)
    return np.where(np.arange(len(z)) == target, 0, z)


def tau(a: np.ndarray, b: np.ndarray) -> float:
    """Concordant less discordant pairs, by the geometric mean of the pairs that are not tied."""
    score, untied = 0, [0, 0]
    for j in range(len(a)):
        for k in range(j):
            score += int(np.sign(a[j] - a[k]) * np.sign(b[j] - b[k]))
            untied[0] += int(a[j] != a[k])
            untied[1] += int(b[j] != b[k])
    return score / np.sqrt(untied[0] * untied[1]) if all(untied) else float("nan")


def proxy(layers: Any, stage: np.ndarray) -> np.ndarray:
    """Pooled map, 1x1 convolution, BatchNorm over the batch, LeakyReLU, linear."""
    convolution, norm, _, linear = layers
    weights = {name: p.detach().numpy() for name, p in norm.named_parameters()}
    x = np.array([convolution.weight.detach().numpy() @ sample.mean((1, 2)) for sample in stage])
    mean = sum(x) / len(x)
    variance = sum((row - mean) ** 2 for row in x) / len(x)
    x = (x - mean) / np.sqrt(variance + 1e-5) * weights["weight"] + weights["bias"]
    x = np.where(x > 0, x, 0.1 * x)
    weight, bias = (p.detach().numpy() for p in (linear.weight, linear.bias))
    return np.array([weight @ row + bias for row in x])


def by_hand(loss: C2KDLoss, student: Output, teacher: Output, target: Tensor) -> dict[str, float]:
    own, its = (o.maps[loss.stage].detach().numpy() for o in (student, teacher))
    p_s, p_t = proxy(loss.student_proxy, own), proxy(loss.teacher_proxy, its)
    z_s, z_t = (o.logits.detach().numpy() for o in (student, teacher))
    n = len(z_s)
    terms = {"student": 0.0, "teacher": 0.0, "cross": 0.0}
    labelled = [i for i in range(n) if target[i] >= 0]
    for i in range(n):
        terms["student"] += (kl(z_s[i], p_s[i]) + kl(p_s[i], z_s[i])) / n
        terms["teacher"] += kl(z_t[i], p_t[i]) / n
        if loss.train_teacher:
            terms["teacher"] += kl(p_t[i], z_t[i]) / n
            if i in labelled:
                terms["teacher"] -= np.log(softmax(z_t[i])[target[i]]) / len(labelled)
        if tau(p_t[i], p_s[i]) > loss.threshold:
            y = int(target[i]) if i in labelled else int(z_t[i].argmax())
            u, v = (left_out(p[i], y, loss.non_target) for p in (p_s, p_t))
            terms["cross"] += (kl(v, u) + kl(u, v)) / n
    return {name: loss.weight * term for name, term in terms.items()}


def built(student: Output, teacher: Output, **options: Any) -> C2KDLoss:
    torch.manual_seed(0)
    loss = C2KDLoss(**options)
    loss.build(student, teacher)
    for parameter in loss.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter)
    return loss.to(student.logits.dtype)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"train_teacher": True},
    {"non_target": "masked", "weight": 0.5},
    {"stage": 0, "threshold": 0.4, "train_teacher": True},
    {"threshold": -0.5, "non_target": "masked"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("k", [2, 3, 6])
def test_the_terms_are_those_of_the_formula(
    pair: Callable[..., Pair], k: int, options: dict[str, Any]
) -> None:
    student, teacher, target = pair(n=8, k=k, dtype=torch.float64)
    loss = built(student, teacher, **options)
    terms = {name: term.item() for name, term in loss(student, teacher, target).items()}
    assert terms == pytest.approx(by_hand(loss, student, teacher, target), rel=1e-9)


def test_some_samples_are_selected_and_some_are_not(pair: Callable[..., Pair]) -> None:
    student, teacher, _ = pair(n=8, k=6, dtype=torch.float64)
    loss = built(student, teacher)
    proxies = (loss.student_proxy, student), (loss.teacher_proxy, teacher)
    rows = [proxy(layers, o.maps[2].detach().numpy()) for layers, o in proxies]
    selected = [tau(*row) > 0 for row in zip(*rows, strict=True)]
    assert {True, False} == {*selected}


def test_agreement_must_exceed_the_threshold(pair: Callable[..., Pair]) -> None:
    student, teacher, target = pair(n=8, k=6, dtype=torch.float64)
    loss = built(student, teacher)
    assert loss.student_proxy is not None
    assert loss.teacher_proxy is not None
    p_s, p_t = (
        layers(o.maps[2].mean((2, 3)))
        for layers, o in ((loss.student_proxy, student), (loss.teacher_proxy, teacher))
    )
    least = rank_agreement(p_t, p_s).min().item()
    at, below = (
        built(student, teacher, threshold=threshold)(student, teacher, target)["cross"].item()
        for threshold in (least, least - 1e-9)
    )
    assert at < below


def gradients(term: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Of the term; zeros where it does not depend on an input."""
    found = torch.autograd.grad(term, inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


@both_forms
@pytest.mark.parametrize("train_teacher", [False, True])
def test_gradients_stop_where_the_formula_stops_them(
    pair: Callable[..., Pair], non_target: Literal["zero", "masked"], train_teacher: bool
) -> None:
    student, teacher, target = pair(n=8, k=6, dtype=torch.float64)
    loss = built(student, teacher, train_teacher=train_teacher, non_target=non_target).eval()
    terms = loss(student, teacher, target)
    assert loss.student_proxy is not None
    assert loss.teacher_proxy is not None
    p_s = loss.student_proxy(student.maps[2].mean((2, 3)))
    p_t = loss.teacher_proxy(teacher.maps[2].mean((2, 3)))
    q_s, q_t, r_s, r_t = (x.softmax(1) / 8 for x in (student.logits, teacher.logits, p_s, p_t))
    # The gradient of KL(softmax v || softmax u) is softmax u - softmax v at u, for a fixed v.
    label = torch.where(target == -100, teacher.logits.argmax(1), target)
    rest = 1 - F.one_hot(label, 6)
    low = 0 if non_target == "zero" else -1000 * (1 - rest)
    agreed = torch.tensor(
        [tau(a, b) > 0 for a, b in zip(*(p.detach().numpy() for p in (p_t, p_s)), strict=True)]
    )
    n_s, n_t = (((p * rest) + low).softmax(1) / 8 for p in (p_s, p_t))
    cross = (n_s - n_t) * rest * agreed.unsqueeze(1)
    labelled = (target != -100).unsqueeze(1)
    ce = (teacher.logits.softmax(1) - F.one_hot(label, 6)) * labelled / labelled.sum()
    # By term: at p_s, z_s, p_t and z_t.
    none = torch.zeros_like(p_s)
    expected = {
        "student": (r_s - q_s, q_s - r_s, none, none),
        "teacher": (none, none, r_t - q_t, q_t - r_t + ce if train_teacher else none),
        "cross": (cross, none, -cross, none),
    }
    inputs = student.maps[2], student.logits, teacher.maps[2], teacher.logits
    for name, (at_p_s, at_z_s, at_p_t, at_z_t) in expected.items():
        through_p_s = torch.autograd.grad(p_s, student.maps[2], at_p_s, retain_graph=True)[0]
        through_p_t = torch.autograd.grad(p_t, teacher.maps[2], at_p_t, retain_graph=True)[0]
        if not train_teacher:
            through_p_t = torch.zeros_like(through_p_t)
        wanted = through_p_s, at_z_s, through_p_t, at_z_t
        for found, want in zip(gradients(terms[name], *inputs), wanted, strict=True):
            torch.testing.assert_close(found, want.to(found.dtype), rtol=1e-9, atol=1e-12)
        # The proxies learn from each term that they are in, a frozen teacher's too.
        for layers, at in ((loss.student_proxy, at_p_s), (loss.teacher_proxy, at_p_t)):
            torch.testing.assert_close(
                gradients(terms[name], layers[3].bias)[0], at.sum(0), rtol=1e-9, atol=1e-12
            )


def test_a_frozen_teacher_and_other_stages_get_no_gradient(pair: Callable[..., Pair]) -> None:
    student, teacher, target = pair()
    terms = built(student, teacher)(student, teacher, target)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert [x.grad is None for x in (*teacher.maps, teacher.logits)] == [True] * 5
    assert [x.grad is None for x in student.maps] == [True, True, False, True]


def test_a_teacher_to_be_trained_that_is_frozen_is_an_error(pair: Callable[..., Pair]) -> None:
    student, teacher, target = pair()
    frozen = teacher._replace(logits=teacher.logits.detach())
    loss = built(student, teacher, train_teacher=True)
    loss(student, teacher, target)
    with pytest.raises(ValueError, match="`train_teachers: true`"):
        loss(student, frozen, target)
    with torch.no_grad():
        loss(student, frozen, target)
    loss.eval()(student, frozen, target)


def test_a_trained_teacher_that_saw_other_samples_has_their_labels(
    pair: Callable[..., Pair],
) -> None:
    student, teacher, target = pair()
    loss = built(student, teacher, train_teacher=True)
    other = target.roll(1)
    found = loss(student, teacher._replace(label=other), target)
    assert found["teacher"].item() == loss(student, teacher, other)["teacher"].item()
    assert found["cross"].item() == loss(student, teacher, target)["cross"].item()
    sum(ShuffledPairs(loss)(student, teacher, target).values()).backward()
    assert teacher.logits.grad is not None


def test_an_unlabelled_sample_has_the_class_that_the_teacher_predicts(
    pair: Callable[..., Pair],
) -> None:
    student, teacher, target = pair(n=8, k=6)
    loss = built(student, teacher, threshold=-1)
    unlabelled = torch.full_like(target, -100)
    predicted = teacher.logits.argmax(1)
    terms = [loss(student, teacher, y) for y in (unlabelled, predicted)]
    assert terms[0] == terms[1]
    trained = built(student, teacher, train_teacher=True)
    more = trained(student, teacher, unlabelled)["teacher"] - terms[0]["teacher"]
    p_t = trained.teacher_proxy(teacher.maps[2].mean((2, 3)))  # type: ignore[misc]
    z_t = teacher.logits.log_softmax(1)
    expected = F.kl_div(z_t, p_t.log_softmax(1), reduction="batchmean", log_target=True)
    assert more.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_student_s_proxy_is_a_head_once_it_is_there(pair: Callable[..., Pair]) -> None:
    student, teacher, _ = pair()
    assert C2KDLoss().heads(student) == {}
    loss = built(student, teacher).eval()
    found = loss.heads(student)
    assert found.keys() == {"proxy"}
    assert loss.student_proxy is not None
    assert torch.equal(found["proxy"], loss.student_proxy(student.maps[2].mean((2, 3))))
    assert loss.bfloat16().heads(student)["proxy"].dtype == torch.float32


def test_the_proxies_are_the_official_ones(pair: Callable[..., Pair]) -> None:
    student, teacher, _ = pair(k=6)
    loss = C2KDLoss()
    loss.build(student, teacher)
    shapes = {name: list(p.shape) for name, p in loss.named_parameters()}
    for role, c in (("student", 5), ("teacher", 7)):
        assert {name: shape for name, shape in shapes.items() if role in name} == {
            f"{role}_proxy.0.weight": [c, c],
            f"{role}_proxy.1.weight": [c],
            f"{role}_proxy.1.bias": [c],
            f"{role}_proxy.3.weight": [6, c],
            f"{role}_proxy.3.bias": [6],
        }
    wide = student._replace(maps=(torch.zeros(2, 500, 1, 1),))
    loss = C2KDLoss(stage=0)
    loss.build(wide, wide)
    assert loss.student_proxy is not None
    assert loss.student_proxy[0].weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    assert loss.student_proxy[2].negative_slope == 0.1


def test_a_checkpoint_of_the_same_shapes_brings_the_weights_back(
    pair: Callable[..., Pair],
) -> None:
    student, teacher, target = pair()
    trained, loaded = built(student, teacher), C2KDLoss()
    trained(student, teacher, target)
    shapes = (
        Output(o.features.to("meta"), o.logits.to("meta"), tuple(x.to("meta") for x in o.maps))
        for o in (student, teacher)
    )
    loaded.build(*shapes)
    loaded.load_state_dict(trained.state_dict())
    terms = (loss.eval()(student, teacher, target) for loss in (trained, loaded))
    assert next(terms) == next(terms)


def test_a_second_build_leaves_the_weights(pair: Callable[..., Pair]) -> None:
    student, teacher, _ = pair()
    loss = built(student, teacher)
    before = list(loss.parameters())
    loss.build(student, teacher)
    assert len(before) == 10
    assert all(a is b for a, b in zip(before, loss.parameters(), strict=True))


def test_a_batch_of_one_is_an_error_in_training_alone(pair: Callable[..., Pair]) -> None:
    student, teacher, target = pair(n=1)
    loss = built(student, teacher)
    with pytest.raises(ValueError, match=r"a batch of 1, and needs at least 2: BatchNorm"):
        loss(student, teacher, target)
    assert all(term.isfinite() for term in loss.eval()(student, teacher, target).values())


def test_a_constant_map_costs_no_more_than_the_norm_s_epsilon(pair: Callable[..., Pair]) -> None:
    # BatchNorm divides by sqrt(0 + 1e-5), and multiplies a gradient by at most 317.
    student, teacher, target = pair(dtype=torch.float64)
    flat = torch.full_like(student.maps[2], 0.3, requires_grad=True)
    loss = built(student, teacher)
    constant = student._replace(maps=(*student.maps[:2], flat))
    sum(loss(constant, teacher, target).values()).backward()  # type: ignore[union-attr]
    assert flat.grad is not None
    assert loss.student_proxy is not None
    convolution, norm, _, linear = loss.student_proxy
    gain = 317 * norm.weight.abs().max()
    for layer in (convolution, linear):
        gain = gain * torch.linalg.matrix_norm(layer.weight, 2)
    # Each of N = 4 rows of the two divergences of p_s has a gradient of at most sqrt(2) / N, and
    # the mean over 16 positions leaves a quarter of its norm.
    assert flat.grad.norm() <= gain * 2 * 2**0.5 / 4**0.5 / 4


def test_dense_outputs_are_an_error(pair: Callable[..., Pair]) -> None:
    student, teacher, target = pair(size=(2, 3))
    with pytest.raises(ValueError, match=r"\[4, 3, 2, 3\]: its proxies classify pooled maps"):
        C2KDLoss().build(student, teacher)
    vectors = pair()
    loss = built(*vectors[:2])
    with pytest.raises(ValueError, match="classify pooled maps"):
        loss(student, teacher, target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "threshold=1.0 must be at least -1 and below 1"),
        ({"threshold": -1.5}, "threshold=-1.5 must be at least -1 and below 1"),
        ({"threshold": float("nan")}, "threshold=nan must be at least -1"),
        ({"non_target": "one"}, "non_target='one' is unknown: choose 'zero' or 'masked'"),
    ],
)
def test_an_argument_out_of_range_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        C2KDLoss(**options)


def test_what_is_missing_or_does_not_fit_is_an_error(pair: Callable[..., Pair]) -> None:
    student, teacher, target = pair()
    with pytest.raises(RuntimeError, match="call build"):
        C2KDLoss()(student, teacher, target)
    with pytest.raises(ValueError, match="stage=4 is not among the 4 maps of the student"):
        C2KDLoss(stage=4).build(student, teacher)
    with pytest.raises(ValueError, match=r"\[4, 3\].*\[4, 5\].*same classes"):
        C2KDLoss().build(student, teacher._replace(logits=torch.zeros(4, 5)))


def test_without_a_teacher_the_student_and_its_proxy_teach_each_other(
    pair: Callable[..., Pair],
) -> None:
    student, teacher, target = pair()
    alone, both = C2KDLoss(), C2KDLoss()
    alone.build(student, None)
    assert alone.teacher_proxy is None
    both.build(student, teacher)
    both.load_state_dict(alone.state_dict(), strict=False)
    terms = alone(student, None, target)
    assert list(terms) == ["student"]
    assert torch.equal(terms["student"], both(student, teacher, target)["student"])


def test_the_activation_of_the_proxies_may_be_that_for_vggsound(pair: Callable[..., Pair]) -> None:
    student, teacher, _ = pair()
    loss = C2KDLoss(activation=nn.ReLU())
    loss.build(student, teacher)
    assert loss.student_proxy is not None
    assert loss.teacher_proxy is not None
    linear, norm, activation, last = loss.student_proxy
    assert isinstance(activation, nn.ReLU)
    assert activation is not loss.teacher_proxy[2]
    logits = loss.heads(student)["proxy"]
    expected = last(norm(linear(student.maps[2].mean((2, 3)))).relu())
    torch.testing.assert_close(logits, expected)


def test_masked_classes_stay_finite_unless_the_student_alone_masks(
    pair: Callable[..., Pair],
) -> None:
    student, teacher, target = pair()
    loss = C2KDLoss(stage=0)
    loss.build(student, teacher)
    mask = torch.tensor([0.0, 0.0, -torch.inf])
    both = [output._replace(logits=output.logits + mask) for output in (student, teacher)]
    for pair_ in ((student, both[1]), both):
        terms = loss(*pair_, target.clamp(max=1))
        gradients = torch.autograd.grad(sum(terms.values()), student.logits, retain_graph=True)
        assert all(x.isfinite().all() for x in (*terms.values(), *gradients))
    with pytest.raises(ValueError, match="student's logits mask a class"):
        loss(both[0], teacher, target)
