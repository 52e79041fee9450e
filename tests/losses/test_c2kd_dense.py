from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch import Tensor, nn

from fdkd_lightning.losses import c2kd_dense
from fdkd_lightning.losses.c2kd_dense import DenseC2KDLoss
from fdkd_lightning.types import Output

K = 4


def batch() -> tuple[Output, Output, Tensor]:
    """Maps of 3 and 5 channels at half the size of the labels, some of which are void."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        Output(
            torch.randn(2, d, 2, 3, dtype=torch.float64, generator=generator),
            torch.randn(2, K, 4, 5, dtype=torch.float64, generator=generator),
            (torch.randn(2, 6, 3, 2, dtype=torch.float64, generator=generator),),
        )
        for d in (3, 5)
    )
    target = torch.randint(-1, K, (2, 4, 5), generator=generator)
    return student, teacher, target.where(target >= 0, -100)


def made(**options: Any) -> DenseC2KDLoss:
    torch.manual_seed(0)
    loss = DenseC2KDLoss(**options)
    loss.build(*batch()[:2])
    return loss.double()


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(softmax p || softmax q) of rows."""
    p, q = p.softmax(1), q.softmax(1)
    return (p * (p / q).log()).sum(1)


def by_hand(loss: DenseC2KDLoss, student: Output, teacher: Output, target: Tensor) -> Any:
    """The terms over the rows of the pixels that count; the proxies are a test of their own."""
    counted = target != -100 if loss.void == "exclude" else torch.ones_like(target).bool()
    labels = F.interpolate(counted[:, None].float(), (2, 3), mode="nearest")[:, 0].bool()
    assert loss.student_proxy is not None
    assert loss.teacher_proxy is not None
    rows, images = [], counted.nonzero()[:, 0]
    for proxy, output in ((loss.student_proxy, student), (loss.teacher_proxy, teacher)):
        scores = proxy(output.features * labels[:, None], labels)
        scores = F.interpolate(scores, (4, 5), mode="bilinear", align_corners=False)
        rows.append([x.movedim(1, -1)[counted] for x in (scores, output.logits)])
    (p_s, z_s), (p_t, z_t) = rows
    tau = [kendalltau(*pair).statistic for pair in zip(p_s.tolist(), p_t.tolist(), strict=True)]
    agreement = torch.tensor(tau)
    means = torch.stack([agreement[images == n].mean() for n in range(2)])
    if loss.selection == "pixel":
        selected = agreement > loss.threshold
    elif loss.selection == "image":
        selected = means[images] > loss.threshold
    else:
        selected = (means > loss.threshold).any().expand(len(images))
    classes = target[counted].where(target[counted] >= 0, z_t.argmax(1))
    own, its = (p.scatter(1, classes[:, None], 0.0) for p in (p_s, p_t))
    cross = (kl(its.detach(), own) + kl(own.detach(), its)) * selected
    return {
        "student": (kl(z_s.detach(), p_s) + kl(p_s.detach(), z_s)).mean(),
        "teacher": kl(z_t, p_t).mean(),
        "cross": cross.mean(),
    }


OPTIONS: list[dict[str, Any]] = [
    {},
    {"void": "keep", "threshold": 0.3},
    {"selection": "image"},
    {"selection": "published", "threshold": -0.1},
    {"selection": "published", "threshold": 0.9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_terms_are_those_of_the_formula(options: dict[str, Any]) -> None:
    loss = made(**options)
    student, teacher, target = batch()
    leaves = [x.requires_grad_() for x in student[:2]]
    found = loss(student, teacher, target)
    expected = by_hand(loss, student, teacher, target)
    for name, term in expected.items():
        assert found[name].item() == pytest.approx(term.item(), abs=1e-10)
    inputs = [*leaves, *loss.parameters()]
    gradients = [
        torch.autograd.grad(sum(terms.values()), inputs, allow_unused=True)
        for terms in (found, expected)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)
    assert bool(found["cross"]) == (options.get("threshold") != 0.9)


def test_the_selections_differ() -> None:
    crosses = [made(**options)(*batch())["cross"].item() for options in OPTIONS]
    assert len({*crosses}) == len(crosses)


def test_chunks_have_the_same_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made()(*batch())
    monkeypatch.setattr(c2kd_dense, "LARGEST", 3 * K**2)
    assert made()(*batch()) == expected


@pytest.mark.parametrize("value", [9.0, float("nan")])
def test_void_pixels_take_no_part(value: float) -> None:
    results = []
    for is_spoilt in (False, True):
        loss = made()
        student, teacher, target = batch()
        target[1] = -100
        if is_spoilt:
            for output in (student, teacher):
                output.logits.movedim(1, -1)[target == -100] = value
                output.features[1] = value
        results.append((loss(student, teacher, target), loss.state_dict()))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


def test_a_void_batch_teaches_nothing() -> None:
    loss = made()
    student, teacher, target = batch()
    student.features.requires_grad_()
    terms = loss(student, teacher, torch.full_like(target, -100))
    assert not any(term.item() for term in terms.values())
    sum(terms.values()).backward()
    for x in (student.features, *loss.parameters()):
        assert x.grad is not None
        assert not x.grad.any()


def test_a_trained_teacher_learns_from_its_proxy_and_the_labels() -> None:
    student, teacher, target = batch()
    logits = teacher.logits.requires_grad_()
    terms = made(train_teacher=True)(student, teacher, target)
    frozen = made()(student, teacher._replace(logits=logits.detach()), target)
    assert terms["teacher"] > frozen["teacher"]
    terms["teacher"].backward()
    assert logits.grad is not None
    assert logits.grad.any()
    with pytest.raises(ValueError, match="have no gradient: set the"):
        made(train_teacher=True)(student, batch()[1], target)


def test_a_stage_of_the_maps_may_be_the_input() -> None:
    loss = DenseC2KDLoss(stage=0, activation=nn.ReLU())
    student, teacher, _ = batch()
    loss.build(student, teacher)
    assert loss.student_proxy is not None
    assert loss.student_proxy.linear.in_features == 6
    assert isinstance(loss.student_proxy.activation, nn.ReLU)
    assert loss.heads(student)["proxy"].shape == student.logits.shape


def test_mistakes_are_named() -> None:
    student, teacher, target = batch()
    with pytest.raises(ValueError, match="choose C2KDLoss"):
        DenseC2KDLoss().build(student._replace(logits=student.logits[..., 0, 0]), None)
    with pytest.raises(RuntimeError, match="no proxies yet"):
        DenseC2KDLoss()(student, teacher, target)
    with pytest.raises(ValueError, match="selection='all' is unknown"):
        DenseC2KDLoss(selection="all")  # type: ignore[arg-type]
