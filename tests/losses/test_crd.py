from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.crd import CRDLoss
from fdkd_lightning.losses.negatives import NegativeSampler
from fdkd_lightning.types import Output


def outputs(n: int, index: list[int], seed: int = 0) -> tuple[Output, Output]:
    """A student's of 5 features and a teacher's of 7, in float64."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        Output(*(torch.randn(n, size, dtype=torch.float64, generator=generator) for size in (d, 3)))
        for d in (5, 7)
    )
    return student._replace(index=torch.tensor(index)), teacher


def made(index: list[int], **options: Any) -> tuple[CRDLoss, Output, Output]:
    student, teacher = outputs(len(index), index)
    torch.manual_seed(0)
    loss = CRDLoss(**options)
    loss.build(student, teacher)
    return loss.double(), student, teacher


class ByHand:
    """The method written out in loops over samples, slots and draws."""

    def __init__(self, loss: CRDLoss) -> None:
        self.weights = [
            (embedding.weight.detach().numpy(), embedding.bias.detach().numpy())
            for embedding in (loss.student_embedding, loss.teacher_embedding)
        ]
        self.memories = [m.numpy().copy() for m in (loss.student_memory, loss.teacher_memory)]
        self.labels: list[int | None] = [None] * loss.memory_size
        self.z: list[float] | None = None
        self.loss = loss

    def step(self, student: Output, teacher: Output, target: list[int]) -> float:
        loss, memory_size = self.loss, self.loss.memory_size
        slots = [int(i) % memory_size for i in student.index]
        draws = torch.randint(2**62, (len(slots), loss.negatives)).tolist()
        v = []
        for (weight, bias), output in zip(self.weights, (student, teacher), strict=True):
            rows = [weight @ x + bias for x in output.features.numpy()]
            v.append([row / np.sqrt((row**2).sum()) for row in rows])
        exps: list[list[list[float]]] = [[], []]
        for i, slot in enumerate(slots):
            others = [k for k in range(memory_size) if k != slot]
            seen = [k for k in others if self.labels[k] is not None]
            foreign = [k for k in seen if self.labels[k] != target[i]]
            candidates = foreign or seen or others
            drawn = [slot, *(candidates[r % len(candidates)] for r in draws[i])]
            for a in range(2):
                bank = self.memories[1 - a]
                exps[a].append([np.exp(v[a][i] @ bank[k] / loss.temperature) for k in drawn])
        if self.z is None:
            self.z = [float(np.mean(e)) * memory_size for e in exps]
        noise = loss.negatives / memory_size
        total = 0.0
        for e, z in zip(exps, self.z, strict=True):
            for positive, *negatives in e:
                p = positive / z
                total += np.log(p / (p + noise + 1e-7))
                for negative in negatives:
                    total += np.log(noise / (negative / z + noise + 1e-7))
        old = [memory.copy() for memory in self.memories]
        for i, slot in enumerate(slots):
            for a in range(2):
                mixed = loss.momentum * old[a][slot] + (1 - loss.momentum) * v[a][i]
                self.memories[a][slot] = mixed / np.sqrt((mixed**2).sum())
            self.labels[slot] = target[i]
        return -loss.weight * total / len(slots)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"negatives": 9, "memory_size": 11, "dim": 4},
        {
            "negatives": 5,
            "memory_size": 4,
            "dim": 3,
            "temperature": 0.5,
            "momentum": 0.9,
            "weight": 2.0,
        },
    ],
)
def test_three_steps_are_the_loops(options: dict[str, Any]) -> None:
    loss, *_ = made([0], **options)
    hand = ByHand(loss)
    # The third repeats samples of the others, and one of its own.
    for seed, (index, target) in enumerate(
        [([3, 0, 6], [1, 0, 1]), ([1, 9, 2], [2, 0, 1]), ([0, 3, 1, 0], [0, 1, 2, 1])]
    ):
        student, teacher = outputs(len(index), index, seed)
        torch.manual_seed(seed)
        found = loss(student, teacher, torch.tensor(target))["crd"]
        torch.manual_seed(seed)
        assert found.item() == pytest.approx(hand.step(student, teacher, target), rel=1e-8)
        for memory, expected in zip(
            (loss.student_memory, loss.teacher_memory), hand.memories, strict=True
        ):
            np.testing.assert_allclose(memory.numpy(), expected, rtol=0, atol=1e-12)
        assert loss.labels.tolist() == [-2 if k is None else k for k in hand.labels]


def test_a_value_worked_out_by_hand() -> None:
    loss, student, teacher = made([0], negatives=1, memory_size=2, dim=2, temperature=1)
    # Each embedding is (1, 0); its slot holds the same, the other slot (0, 1).
    for embedding in (loss.student_embedding, loss.teacher_embedding):
        embedding.weight.data.zero_()
        embedding.bias.data = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for memory in (loss.student_memory, loss.teacher_memory):
        memory.copy_(torch.eye(2))
    # exp(1) and exp(0): Z is their sum, P = e / (e + 1) and 1 / (e + 1), and noise has K / M = 1/2.
    positive, negative = np.e / (np.e + 1), 1 / (np.e + 1)
    expected = -0.8 * 2 * (np.log(positive / (positive + 0.5)) + np.log(0.5 / (negative + 0.5)))
    found = loss(student, teacher, torch.tensor([0]))["crd"].item()
    assert found == pytest.approx(expected, rel=1e-6)


def draws(loss: CRDLoss, slots: list[int], labels: list[int]) -> list[set[int]]:
    return [set(row.tolist()) for row in loss._draw(torch.tensor(slots), torch.tensor(labels))]


def test_negatives_are_all_seen_slots_of_other_classes() -> None:
    loss = CRDLoss(negatives=500, memory_size=8)
    loss.labels[:5] = torch.tensor([0, 1, 0, 2, 1])
    assert draws(loss, [0, 1, 6], [0, 1, 7]) == [{1, 3, 4}, {0, 2, 3}, {0, 1, 2, 3, 4}]


def test_without_another_class_they_are_other_samples() -> None:
    loss = CRDLoss(negatives=500, memory_size=8)
    loss.labels[:3] = 1
    assert draws(loss, [0, 5], [1, 1]) == [{1, 2}, {0, 1, 2}]


def test_before_any_sample_was_seen_they_are_random_slots() -> None:
    loss = CRDLoss(negatives=500, memory_size=4)
    assert draws(loss, [2], [0]) == [{0, 1, 3}]
    loss.labels[2] = 1  # the sample's own slot is none of its negatives
    assert draws(loss, [2], [0]) == [{0, 1, 3}]


def test_every_candidate_is_as_likely_as_another() -> None:
    loss = CRDLoss(negatives=60_000, memory_size=7)
    loss.labels[:6] = torch.arange(6)
    counts = loss._draw(torch.tensor([3]), torch.tensor([3]))[0].bincount(minlength=7)
    assert counts[3] == counts[6] == 0
    # 12,000 each, with a deviation of 98.
    assert ((counts[[0, 1, 2, 4, 5]] - 12_000).abs() < 500).all()


def test_a_sample_without_a_label_is_of_the_predicted_class() -> None:
    loss, student, teacher = made([0, 1, 2], memory_size=8, negatives=4)
    loss(student, teacher, torch.tensor([-100, 1, -100]))
    predicted = teacher.logits.argmax(1).tolist()
    assert loss.labels.tolist() == [predicted[0], 1, predicted[2], *[-2] * 5]


def test_in_eval_mode_nothing_is_remembered() -> None:
    loss, student, teacher = made([0, 1], memory_size=8, negatives=4)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    target = torch.tensor([0, 1])
    torch.manual_seed(1)
    unseen = loss.eval()(student, teacher, target)
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)
    # Its own batch's Z is that of a first step.
    torch.manual_seed(1)
    assert loss.train()(student, teacher, target) == unseen


def test_z_is_that_of_the_first_batch_and_has_no_gradient() -> None:
    loss, student, teacher = made([0, 1], memory_size=8, negatives=4)
    features = student.features.clone().requires_grad_()
    found = []
    for _ in range(2):
        term = loss(student._replace(features=features), teacher, torch.tensor([0, 1]))["crd"]
        term.backward()
        found.append(loss.log_mean.tolist())
        assert not loss.log_mean.requires_grad
    assert found[0] == found[1]
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_both_embeddings_learn_and_the_teacher_does_not() -> None:
    loss, student, teacher = made([0, 1], memory_size=8, negatives=4)
    teacher.features.requires_grad_()
    loss(student, teacher, torch.tensor([0, 1]))["crd"].backward()
    for parameter in loss.parameters():
        assert parameter.grad is not None
        assert parameter.grad.count_nonzero()
    assert teacher.features.grad is None


def test_of_a_sample_that_occurs_twice_the_last_is_remembered() -> None:
    index = [1, 4, 1, 9]  # 9 shares slot 1
    loss, student, teacher = made(index, memory_size=8, negatives=4)
    start = loss.student_memory[1].clone()
    loss(student, teacher, torch.tensor([0, 1, 2, 3]))
    last = torch.nn.functional.normalize(loss.student_embedding(student.features)[3], dim=0)
    expected = torch.nn.functional.normalize(start / 2 + last / 2, dim=0)
    torch.testing.assert_close(loss.student_memory[1], expected, rtol=0, atol=1e-12)
    assert loss.labels[1] == 3


def test_a_resumed_loss_goes_on_exactly() -> None:
    loss, student, teacher = made([0, 5], memory_size=8, negatives=4)
    target = torch.tensor([0, 1])
    loss(student, teacher, target)
    torch.manual_seed(7)
    other = CRDLoss(memory_size=8, negatives=4)
    other.build(student, teacher)
    other.double().load_state_dict(loss.state_dict())
    for _ in range(2):
        terms = []
        for each in (loss, other):
            torch.manual_seed(1)
            terms.append(each(student, teacher, target))
        assert terms[0] == terms[1]
    torch.testing.assert_close(other.state_dict(), loss.state_dict(), rtol=0, atol=0)


def test_building_twice_leaves_the_weights() -> None:
    loss, student, teacher = made([0, 1], memory_size=8)
    weight = loss.student_embedding.weight
    loss.build(student, teacher)
    assert loss.student_embedding.weight is weight


@pytest.mark.parametrize("temperature", [1e-4, 1e4])
@pytest.mark.parametrize("momentum", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_extremes_stay_finite(temperature: float, momentum: float, scale: float) -> None:
    loss, student, teacher = made(
        [0, 1], memory_size=2, negatives=4, temperature=temperature, momentum=momentum
    )
    loss.float()
    for embedding in (loss.student_embedding, loss.teacher_embedding):
        embedding.bias.data *= scale
    features = (scale * student.features.float()).requires_grad_()
    student = student._replace(features=features)
    teacher = teacher._replace(features=scale * teacher.features.float())
    for _ in range(2):
        term = loss(student, teacher, torch.tensor([0, 0]))["crd"]
        assert term.isfinite()
        assert term >= 0
        term.backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert all(value.isfinite().all() for value in loss.state_dict().values())


def test_a_few_steps_bring_pairs_together() -> None:
    index = list(range(12))
    student, teacher = outputs(12, index)
    torch.manual_seed(0)
    loss = CRDLoss(negatives=32, memory_size=16, dim=8)
    loss.build(student, teacher)
    loss.double()
    optimizer = torch.optim.SGD(loss.parameters(), 0.1)
    target = torch.arange(12) % 3
    values = []
    for _ in range(60):
        term = loss(student, teacher, target)["crd"]
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
        values.append(term.item())
    assert sum(values[-10:]) < 0.8 * sum(values[1:11])


def test_without_an_index_the_error_names_what_the_batch_lacks() -> None:
    loss, student, teacher = made([0, 1], memory_size=8)
    with pytest.raises(ValueError, match="batch needs 'index'"):
        loss(student._replace(index=None), teacher, torch.tensor([0, 1]))


def test_a_target_that_does_not_fit_is_named() -> None:
    loss, student, teacher = made([0, 1], memory_size=8)
    target: Any
    for target, error in ((None, "target is NoneType"), (torch.zeros(2, 2).long(), r"\[2, 2\]")):
        with pytest.raises((TypeError, ValueError), match=error):
            loss(student, teacher, target)


def test_maps_are_an_error(pair: Callable[..., tuple[Output, Output, Tensor]]) -> None:
    student, teacher, target = pair(size=(2, 3))
    loss = CRDLoss(memory_size=8)
    loss.build(student, teacher)
    with pytest.raises(ValueError, match=r"\[4, 16, 2, 3\].*one vector"):
        loss(student, teacher, target)


def test_it_must_be_built() -> None:
    student, teacher = outputs(2, [0, 1])
    with pytest.raises(RuntimeError, match=r"build\(\) before"):
        CRDLoss(memory_size=8)(student, teacher, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="no term without a teacher"):
        CRDLoss(memory_size=8).build(student, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("negatives", 0),
        ("memory_size", 1),
        ("dim", 0),
        ("temperature", 0.0),
        ("momentum", 1.5),
        ("momentum", -0.1),
        ("temperature", float("nan")),
        ("momentum", float("nan")),
    ],
)
def test_arguments_out_of_range_are_named(name: str, value: float) -> None:
    options: dict[str, Any] = {"memory_size": 4, name: value}
    with pytest.raises(ValueError, match=f"{name}={value}"):
        CRDLoss(**options)


PROCESS = """
import sys
import torch
import torch.distributed as dist
from fdkd_lightning.losses.crd import CRDLoss
from fdkd_lightning.types import Output

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
case = torch.load(f"{folder}/case.pt")
loss = CRDLoss(negatives=6, memory_size=16, dim=4).double()
student, teacher = (Output(torch.zeros(1, d), torch.zeros(1, 3)) for d in (5, 7))
loss.build(student, teacher)
loss.double().load_state_dict(case["state"])
# Each sample's negatives are the same in whatever process: the slots that follow its own.
loss._draw = lambda slots, labels: (slots[:, None] + 1 + torch.arange(6)) % 16
terms = []
for features, others, logits, index, target in case["batches"]:
    # Five samples: three and two.
    part = slice(0, 3) if rank == 0 else slice(3, 5)
    terms.append(loss(
        Output(features[part], logits[part], index=index[part]),
        Output(others[part], logits[part]),
        target[part],
    )["crd"].detach() * len(index[part]) / 5)
torch.save((terms, loss.state_dict()), f"{folder}/found{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_store_what_one_process_stores_of_the_whole_batch(
    in_processes: Callable[..., None], tmp_path: Path
) -> None:
    loss, *_ = made([0], negatives=6, memory_size=16, dim=4)
    batches = []
    # The second holds sample 3 in both processes.
    for seed, index in enumerate(([3, 8, 1, 12, 5], [0, 3, 9, 3, 8])):
        student, teacher = outputs(5, index, seed)
        target = torch.tensor([0, 1, -100, 2, 1])
        batches.append((student.features, teacher.features, teacher.logits, student.index, target))
    torch.save({"state": loss.state_dict(), "batches": batches}, tmp_path / "case.pt")
    in_processes(PROCESS, tmp_path)
    loss._draw = lambda slots, labels: (slots[:, None] + 1 + torch.arange(6)) % 16  # type: ignore[method-assign]
    terms = [
        loss(Output(own, logits, index=index), Output(its, logits), target)["crd"].detach()
        for own, its, logits, index, target in batches
    ]
    found = [torch.load(tmp_path / f"found{rank}.pt") for rank in range(2)]
    for _, state in found:
        torch.testing.assert_close(state, loss.state_dict(), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        [a + b for a, b in zip(found[0][0], found[1][0], strict=True)], terms, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("when", [0, 1])
def test_a_teacher_of_nan_shows_in_the_loss_and_leaves_the_memory(when: int) -> None:
    loss, student, teacher = made([0, 1, 2], memory_size=8, negatives=4)
    target = torch.tensor([0, 1, 0])
    for _ in range(when):
        loss(student, teacher, target)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    spoilt = teacher._replace(features=torch.full_like(teacher.features, torch.nan))
    assert loss(student, spoilt, target)["crd"].isnan()
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)
    assert loss(student, teacher, target)["crd"].isfinite()
    assert all(value.isfinite().all() for value in loss.state_dict().values())


def test_given_negatives_are_those_of_the_sampler() -> None:
    class Given(NegativeSampler):
        def __call__(self, index: Tensor, count: int) -> Tensor:
            return torch.tensor([[3, 11, 5, 6], [4, 4, 7, 0]])

    loss, student, teacher = made(
        [0, 1], memory_size=8, negatives=4, dim=3, temperature=1, sampler=Given()
    )
    drawn = [[0, 3, 3, 5, 6], [1, 4, 4, 7, 0]]
    total = 0.0
    for embedding, output, memory in (
        (loss.student_embedding, student, loss.teacher_memory.clone()),
        (loss.teacher_embedding, teacher, loss.student_memory.clone()),
    ):
        v = torch.nn.functional.normalize(embedding(output.features))
        p = (v[:, None] * memory[torch.tensor(drawn)]).sum(2).exp()
        p = p / (8 * p.mean())  # Z is M times the mean
        positive, negative = p[:, 0], p[:, 1:]
        total += (positive / (positive + 4 / 8 + 1e-7)).log().sum().item()
        total += (4 / 8 / (negative + 4 / 8 + 1e-7)).log().sum().item()
    found = loss(student, teacher, torch.tensor([0, 1]))["crd"].item()
    assert found == pytest.approx(-0.8 * total / 2, rel=1e-6)


def test_a_sampler_must_give_positions() -> None:
    class Wrong(NegativeSampler):
        def __call__(self, index: Tensor, count: int) -> Tensor:
            return index

    loss, student, teacher = made([0, 1], memory_size=8, negatives=4, sampler=Wrong())
    with pytest.raises(ValueError, match=r"sampler gave torch.int64 \[2\]: let it .* \[2, 4\]"):
        loss(student, teacher, torch.tensor([0, 1]))


def test_no_samples_are_zero_with_a_gradient() -> None:
    loss, student, teacher = made([0, 1], memory_size=8, negatives=4)
    features = student.features[:0].clone().requires_grad_()
    student = Output(features, student.logits[:0], index=torch.zeros(0, dtype=torch.long))
    teacher = Output(teacher.features[:0], teacher.logits[:0])
    term = loss(student, teacher, torch.zeros(0, dtype=torch.long))["crd"]
    term.backward()
    assert term.item() == 0
