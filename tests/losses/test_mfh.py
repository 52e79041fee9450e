from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.losses.base import TeacherRequiredError
from fdkd_lightning.losses.controls import ShuffledPairs
from fdkd_lightning.losses.mfh import MFHLoss
from fdkd_lightning.losses.mfh_saliency import permutation_errors
from fdkd_lightning.types import Output

# The formulas once more, by loops.


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max())
    return np.asarray(exponentials / exponentials.sum())


def kd_by_hand(logits: np.ndarray, general: np.ndarray, temperature: float) -> float:
    """T^2 times the mean over samples and classes of p log(p / q)."""
    total = 0.0
    for z, h in zip(logits / temperature, general / temperature, strict=True):
        p, q = softmax(h), softmax(z)
        total += sum(p * np.log(p / q))
    return temperature**2 * total / logits.size


def cross_entropy_by_hand(logits: np.ndarray, labels: list[int]) -> float:
    losses = [
        np.log(np.exp(row).sum()) - row[label]
        for row, label in zip(logits, labels, strict=True)
        if label != -100
    ]
    return float(sum(losses) / len(losses))


def frozen_by_hand(features: np.ndarray, saliency: list[float], drop: float) -> np.ndarray:
    """The floor(drop D) least salient channels replaced by their means over the batch."""
    least = sorted(range(len(saliency)), key=lambda d: saliency[d])
    frozen = features.copy()
    for d in least[: int(drop * len(saliency))]:
        for n in range(len(features)):
            frozen[n, d] = sum(features[:, d]) / len(features)
    return frozen


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [x.detach().numpy() for x in tensors]


def layer(loss: MFHLoss) -> list[np.ndarray]:
    """Weight and bias of its classifier."""
    return arrays(*(loss.classifier.get_parameter(name) for name in ("weight", "bias")))


def made(pair: Callable[..., Any], n: int = 4, d: int = 8, **options: Any) -> tuple[MFHLoss, Any]:
    """A float64 loss that is built, and outputs and target to call it with."""
    torch.manual_seed(0)
    student, teacher, target = pair(n=n, d=d, dtype=torch.float64)
    loss = MFHLoss(**options)
    loss.build(student, teacher)
    return loss.double(), (student, teacher, target)


# The first stage: both learn together.


@pytest.mark.parametrize("labelled", [True, False])
def test_the_first_stage_is_a_cross_entropy_and_the_distance_of_the_logits(
    pair: Callable[..., Any], labelled: bool
) -> None:
    loss, (student, teacher, target) = made(pair)
    target = target if labelled else torch.full_like(target, -100)
    logits, features = arrays(student.logits, teacher.features)
    weight, bias = layer(loss)
    own = features @ weight.T + bias
    for epoch in range(5):
        loss.set_epoch(epoch)
        terms = loss(student, teacher, target)
        assert list(terms) == ["classifier", "joint"]
        expected = cross_entropy_by_hand(own, target.tolist()) if labelled else 0
        assert terms["classifier"].item() == pytest.approx(expected, rel=1e-8)
        squares = [(a - b) ** 2 for a, b in zip(logits.flat, own.flat, strict=True)]
        assert terms["joint"].item() == pytest.approx(sum(squares) / len(squares), rel=1e-8)


def test_the_classifier_learns_the_labels_of_the_teachers_samples(
    pair: Callable[..., Any],
) -> None:
    loss, (student, teacher, target) = made(pair)
    other = torch.tensor([2, -100, 0, 0])
    weight, bias = layer(loss)
    (features,) = arrays(teacher.features)
    expected = cross_entropy_by_hand(features @ weight.T + bias, other.tolist())
    terms = loss(student, teacher._replace(label=other), target)
    assert terms["classifier"].item() == pytest.approx(expected, rel=1e-8)
    # A control's shuffled pairs bring their labels along.
    loss, found = made(pair)
    shuffled = ShuffledPairs(loss)(*found)["classifier"].item()
    assert shuffled == pytest.approx(loss(*found)["classifier"].item(), rel=1e-8)


# The second stage: a value by hand, and the formula.


def test_a_value_worked_out_by_hand() -> None:
    # Channel 1 is left out: its mean, 1, stands for 3 and -1. With h = (f1 + f2, 0) the first
    # sample has log 3 + 1 - 1 = log 3: (3/4, 1/4) against (1/2, 1/2). The second has 0: no
    # divergence. Over N K = 4 elements, T = 1.
    features = torch.tensor([[3.0, np.log(3)], [-1.0, 0.0]], dtype=torch.float64)
    student = Output(torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.float64))
    teacher = Output(features, torch.zeros(2, 2))
    loss = MFHLoss(saliency=[0.1, 0.9], drop=0.5, joint_epochs=0)
    loss.build(student, teacher)
    loss.double().classifier.load_state_dict(
        {"weight": torch.tensor([[1.0, 1], [0, 0]]), "bias": torch.tensor([-1.0, 0])}
    )
    divergence = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)
    terms = loss(student, teacher, torch.tensor([-100, -100]))
    assert terms["kd"].item() == pytest.approx(divergence / 4, abs=1e-12)
    assert terms["classifier"].item() == 0


# int(0.3 * 10) is 3 whatever the rounding, int(0.75 * 8) is 6, and int(0.99 * 4) is 3.
@pytest.mark.parametrize(
    ("d", "options", "dropped"),
    [
        (8, {}, 6),
        (8, {"temperature": 4.0, "weight": 30.0}, 6),
        (10, {"drop": 0.3}, 3),
        (7, {"drop": 0.5, "temperature": 0.5}, 3),
        (4, {"drop": 0.99}, 3),
        (6, {"drop": 0.0}, 0),
        (3, {"drop": 0.3}, 0),
    ],
)
def test_the_second_stage_learns_from_the_salient_channels(
    pair: Callable[..., Any], d: int, options: dict[str, float], dropped: int
) -> None:
    saliency = np.random.default_rng(1).permutation(d).astype(float).tolist()
    loss, (student, teacher, target) = made(pair, d=d, saliency=saliency, joint_epochs=2, **options)
    loss.set_epoch(2)
    general = [value >= dropped for value in saliency]
    assert loss.general_channels().tolist() == general
    logits, features = arrays(student.logits, teacher.features)
    weight, bias = layer(loss)
    frozen = frozen_by_hand(features, saliency, options.get("drop", 0.75))
    assert (frozen != features).any(0).tolist() == [not there for there in general]
    kd = kd_by_hand(logits, frozen @ weight.T + bias, options.get("temperature", 1.0))
    terms = loss(student, teacher, target)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            # It goes on learning, from all channels.
            "classifier": cross_entropy_by_hand(features @ weight.T + bias, target.tolist()),
            "kd": options.get("weight", 1.0) * kd,
        },
        rel=1e-8,
    )


def test_equally_salient_channels_go_in_their_order(pair: Callable[..., Any]) -> None:
    loss, _ = made(pair, d=4, saliency=[0.5, 0.5, 0.1, 0.5], drop=0.5)
    assert loss.general_channels().tolist() == [False, True, False, True]


def test_the_stages_follow_the_epochs(pair: Callable[..., Any]) -> None:
    loss, found = made(pair, joint_epochs=2)
    names = []
    for epoch in range(4):
        loss.set_epoch(epoch)
        names.append(list(loss(*found))[1])
    assert names == ["joint", "joint", "kd", "kd"]
    assert list(made(pair, joint_epochs=0)[0](*found)) == ["classifier", "kd"]


def test_certain_predictions_stay_finite(pair: Callable[..., Any]) -> None:
    loss, (student, teacher, target) = made(pair, joint_epochs=0)
    student = student._replace(logits=(1e6 * student.logits).detach().requires_grad_())
    teacher = teacher._replace(features=1e6 * teacher.features)
    terms = loss(student, teacher, target)
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert student.logits.grad.isfinite().all()


# Whose saliency.


def test_a_saliency_that_was_given_stays(pair: Callable[..., Any]) -> None:
    loss, found = made(pair, d=4, saliency=[0.9, 0.1, 0.5, 0.7], joint_epochs=1)
    for epoch in (0, 1):
        loss.set_epoch(epoch)
        loss(*found)
    assert loss._total.tolist() == pytest.approx([0.9, 0.1, 0.5, 0.7])
    assert loss.general_channels().tolist() == [True, False, False, False]


def test_without_a_saliency_all_channels_teach(pair: Callable[..., Any]) -> None:
    loss, (student, teacher, target) = made(pair, joint_epochs=0)
    assert loss.general_channels().tolist() == [True] * 8
    logits, features = arrays(student.logits, teacher.features)
    weight, bias = layer(loss)
    kd = loss(student, teacher, target)["kd"].item()
    assert kd == pytest.approx(kd_by_hand(logits, features @ weight.T + bias, 1.0), rel=1e-8)


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_saliency_is_that_of_the_last_joint_epochs_batches(
    pair: Callable[..., Any], repeats: int
) -> None:
    loss, (student, teacher, target) = made(pair, joint_epochs=3, repeats=repeats)
    generator = torch.Generator().manual_seed(0)
    classifier = [loss.classifier.get_parameter(name).detach() for name in ("weight", "bias")]
    expected = torch.zeros(8, dtype=torch.float64)
    for epoch in range(4):
        loss.set_epoch(epoch)
        for batch in range(2):
            logits, features = (
                torch.randn(4, size, generator=generator, dtype=torch.float64) for size in (3, 8)
            )
            torch.manual_seed(10 * epoch + batch)
            loss(student._replace(logits=logits), teacher._replace(features=features), target)
            if epoch == 2:
                torch.manual_seed(10 * epoch + batch)
                expected += permutation_errors(logits, features, *classifier, repeats) / 2
    assert (loss._total / loss._batches).tolist() == pytest.approx(expected.tolist(), rel=1e-8)
    assert loss._batches == 2
    order = sorted(range(8), key=lambda d: expected[d])
    assert loss.general_channels().tolist() == [d in order[6:] for d in range(8)]


def test_in_eval_mode_nothing_is_measured_nor_drawn(pair: Callable[..., Any]) -> None:
    loss, found = made(pair, joint_epochs=1)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loss.eval()(*found)
    assert torch.equal(torch.rand(3), expected)
    assert loss._batches == 0
    assert loss._total.tolist() == [0] * 8


@pytest.mark.parametrize(
    ("options", "epoch"), [({"joint_epochs": 3}, 0), ({"joint_epochs": 3}, 3), ({"d": 4}, 4)]
)
def test_what_needs_no_measurement_draws_nothing(
    pair: Callable[..., Any], options: dict[str, Any], epoch: int
) -> None:
    saliency = [0.1, 0.2, 0.3, 0.4] if "d" in options else None
    loss, found = made(pair, saliency=saliency, **options)
    loss.set_epoch(epoch)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loss(*found)
    assert torch.equal(torch.rand(3), expected)


# Gradients.


def gradients(
    loss: MFHLoss, found: tuple[Output, Output, Tensor], name: str
) -> dict[str, Tensor | None]:
    student, teacher, _ = found
    inputs = {
        "features": student.features,
        "logits": student.logits,
        "teacher features": teacher.features,
        "teacher logits": teacher.logits,
        "weight": loss.classifier.get_parameter("weight"),
        "bias": loss.classifier.get_parameter("bias"),
    }
    term = loss(*found)[name]
    found_gradients = torch.autograd.grad(term, [*inputs.values()], allow_unused=True)
    return dict(zip(inputs, found_gradients, strict=True))


@pytest.mark.parametrize(
    ("name", "epoch", "learners"),
    [
        ("classifier", 0, {"weight", "bias"}),
        ("joint", 0, {"logits", "weight", "bias"}),
        ("classifier", 5, {"weight", "bias"}),
        ("kd", 5, {"logits"}),
    ],
)
def test_each_term_teaches_whom_it_is_meant_for(
    pair: Callable[..., Any], name: str, epoch: int, learners: set[str]
) -> None:
    loss, found = made(pair)
    loss.set_epoch(epoch)
    learned = {
        part
        for part, gradient in gradients(loss, found, name).items()
        if gradient is not None and gradient.count_nonzero()
    }
    assert learned == learners


def test_the_students_gradient_is_the_difference_of_the_predictions(
    pair: Callable[..., Any],
) -> None:
    saliency = [0.4, 0.1, 0.3, 0.2]
    loss, found = made(pair, d=4, saliency=saliency, joint_epochs=0, temperature=2.0, weight=3.0)
    gradient = gradients(loss, found, "kd")["logits"]
    assert gradient is not None
    logits, features = arrays(found[0].logits, found[1].features)
    weight, bias = layer(loss)
    general = frozen_by_hand(features, saliency, 0.75) @ weight.T + bias
    expected = [
        3 * 2 * (softmax(z / 2) - softmax(h / 2)) / logits.size
        for z, h in zip(logits, general, strict=True)
    ]
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12)


# Its state.


def test_the_classifier_is_sized_by_the_teacher(pair: Callable[..., Any]) -> None:
    student, teacher, _ = pair(d=8, k=3)
    loss = MFHLoss()
    assert not list(loss.parameters())
    loss.build(student._replace(features=torch.randn(4, 5)), teacher)
    assert {name: list(p.shape) for name, p in loss.named_parameters()} == {
        "classifier.weight": [3, 8],
        "classifier.bias": [3],
    }
    before = {name: x.clone() for name, x in loss.state_dict().items()}
    loss.build(student, teacher)
    assert all(torch.equal(x, before[name]) for name, x in loss.state_dict().items())


def test_building_again_keeps_what_was_measured(pair: Callable[..., Any]) -> None:
    loss, found = made(pair, joint_epochs=1)
    loss(*found)
    total = loss._total.clone()
    loss.build(*found[:2])
    assert total.count_nonzero() > 0
    assert torch.equal(loss._total, total)
    assert loss._batches == 1


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_state_dict_resumes_the_same(pair: Callable[..., Any], epoch: int) -> None:
    """In the epoch that measures, and after it."""
    loss, found = made(pair, joint_epochs=1)
    loss(*found)
    other = MFHLoss(joint_epochs=1)
    other.build(*found[:2])
    other.double().load_state_dict(loss.state_dict())
    terms = []
    for each in (loss, other):
        each.set_epoch(epoch)
        torch.manual_seed(1)
        terms.append(each(*found))
    assert terms[0] == terms[1]
    for name, value in loss.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert torch.equal(loss.general_channels(), other.general_channels())
    assert loss.general_channels().sum() == 2


def test_measuring_may_follow_an_evaluation_in_inference_mode(pair: Callable[..., Any]) -> None:
    loss, found = made(pair, joint_epochs=1)
    with torch.inference_mode():
        loss.eval()(*found)
    loss.train()(*found)
    assert loss._batches == 1


# Errors.


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("drop", -0.1, "at least 0 and below 1"),
        ("drop", 1, "at least 0 and below 1"),
        ("joint_epochs", -1, "at least 0"),
        ("repeats", 0, "at least 1"),
        ("temperature", 0.0, "above 0"),
        ("temperature", float("nan"), "above 0"),
    ],
)
def test_an_argument_out_of_range_is_an_error(name: str, value: Any, bounds: str) -> None:
    with pytest.raises(ValueError, match=f"{name}={value} must be {bounds}"):
        MFHLoss(**{name: value})


def test_a_saliency_of_other_channels_is_an_error(pair: Callable[..., Any]) -> None:
    student, teacher, _ = pair(d=8)
    message = "saliency has 3 values, the teacher's features 8 channels"
    with pytest.raises(ValueError, match=message):
        MFHLoss(saliency=[0.1, 0.2, 0.3]).build(student, teacher)


def test_maps_are_an_error_that_names_the_remedy(pair: Callable[..., Any]) -> None:
    student, teacher, target = pair(size=(2, 3))
    message = r"features have shape \[4, 16, 2, 3\]: .* pool"
    with pytest.raises(ValueError, match=message):
        MFHLoss().build(student, teacher)
    loss = MFHLoss()
    loss.classifier.build(16, 3)
    with pytest.raises(ValueError, match=message):
        loss(student, teacher, target)


def test_other_classes_are_an_error(pair: Callable[..., Any]) -> None:
    loss, (student, teacher, target) = made(pair)
    with pytest.raises(ValueError, match=r"\[4, 3\].*\[4, 4\].*same classes"):
        loss(student, teacher._replace(logits=torch.zeros(4, 4)), target)


def test_without_a_teacher_it_is_an_error(pair: Callable[..., Any]) -> None:
    loss, (student, _, target) = made(pair)
    for ask in (lambda: loss.build(student, None), lambda: loss(student, None, target)):
        with pytest.raises(TeacherRequiredError, match="MFHLoss has no term without a teacher"):
            ask()


def test_before_build_it_says_what_is_missing(pair: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match=r"call build\(\) before"):
        MFHLoss()(*pair())


# Two processes.

PROCESS = """
import sys
import torch
import torch.distributed as dist
from fdkd_lightning.losses.mfh import MFHLoss
from fdkd_lightning.types import Output

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
case = torch.load(f"{folder}/case.pt")
loss = MFHLoss(joint_epochs=1, drop=0.5, repeats=1).double()
student, teacher = (Output(torch.zeros(1, 6), torch.zeros(1, 3)) for _ in range(2))
loss.build(student, teacher)
loss.double().load_state_dict(case["state"])
for logits, features, target in case["batches"][rank]:
    torch.manual_seed(rank)
    loss(Output(features, logits), Output(features, logits), target)
torch.save((loss._total, loss.general_channels()), f"{folder}/found{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_find_the_same_channels_salient(
    in_processes: Callable[..., None], pair: Callable[..., Any], tmp_path: Path
) -> None:
    loss, _ = made(pair, d=6, joint_epochs=1, drop=0.5)
    classifier = [loss.classifier.get_parameter(name).detach() for name in ("weight", "bias")]
    generator = torch.Generator().manual_seed(0)
    batches, expected = [], torch.zeros(6, dtype=torch.float64)
    for rank in range(2):
        drawn = [
            [torch.randn(5, d, generator=generator, dtype=torch.float64) for d in (3, 6)]
            for _ in range(2)
        ]
        for logits, features in drawn:
            torch.manual_seed(rank)
            expected += permutation_errors(logits, features, *classifier, 1)
        target = torch.tensor([0, 1, 2, -100, 1])
        batches.append([(logits, features, target) for logits, features in drawn])
    torch.save({"state": loss.state_dict(), "batches": batches}, tmp_path / "case.pt")
    in_processes(PROCESS, tmp_path)
    found = [torch.load(tmp_path / f"found{rank}.pt") for rank in range(2)]
    order = sorted(range(6), key=lambda d: expected[d])
    for total, general in found:
        assert total.tolist() == pytest.approx(expected.tolist(), rel=1e-8)
        assert general.tolist() == [d in order[3:] for d in range(6)]


def test_a_run_moves_from_one_stage_to_the_other() -> None:
    """The teacher holds the class in one channel; that channel is what is left of it."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    target = torch.arange(64) % 2
    features = torch.randn(64, 4, generator=generator)
    features[:, 2] = 4.0 * target - 2
    teacher = Output(features, torch.zeros(64, 2))
    network = nn.Linear(1, 2)
    seen = target[:, None] + 0.1 * torch.randn(64, 1, generator=generator)
    loss = MFHLoss(joint_epochs=20, drop=0.75)
    loss.build(Output(seen, network(seen)), teacher)
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.1)
    for epoch in range(60):
        loss.set_epoch(epoch)
        optimizer.zero_grad()
        sum(loss(Output(seen, network(seen)), teacher, target).values()).backward()
        optimizer.step()
    assert loss.general_channels().tolist() == [False, False, True, False]
    assert torch.equal(network(seen).argmax(1), target)


def test_a_teacher_of_nan_leaves_the_saliency() -> None:
    student = Output(torch.randn(4, 3), torch.randn(4, 3))
    teacher = Output(torch.randn(4, 5), torch.randn(4, 3))
    target = torch.tensor([0, 1, 2, 0])
    loss = MFHLoss(joint_epochs=1)
    loss.build(student, teacher)
    spoilt = teacher._replace(features=torch.full((4, 5), torch.nan))
    assert loss(student, spoilt, target)["joint"].isnan()
    assert loss.general_channels().all()
    loss(student, teacher, target)
    assert loss.get_extra_state().isfinite().all()
    assert loss.general_channels().sum() == 2


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_class_that_both_mask_is_left_out(epochs: int) -> None:
    mask = torch.tensor([0.0, 0.0, -torch.inf])
    student = Output(torch.randn(4, 3), (torch.randn(4, 3) + mask).requires_grad_())
    teacher = Output(torch.randn(4, 5), torch.randn(4, 3) + mask)
    loss = MFHLoss(joint_epochs=epochs)
    loss.build(student, teacher)
    terms = loss(student, teacher, torch.tensor([0, 1, -100, 0]))
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert student.logits.grad is not None
    assert student.logits.grad.isfinite().all()
    assert not student.logits.grad[:, 2].any()
    assert loss.get_extra_state().isfinite().all()
