from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fdkd_lightning.decoupler import (
    FrequencyDecoupler,
    LearnableFrequencyDecoupler,
    frequency_split,
)
from fdkd_lightning.losses.infonce import InfoNCELoss, info_nce_loss
from fdkd_lightning.training.missing_modality import select
from fdkd_lightning.training.pairs import make_pairs
from fdkd_lightning.types import Output


def random(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, n, d, dtype=torch.float64, generator=generator)
    return student, teacher


def by_hand(student: Tensor, teacher: Tensor, temperature: float) -> float:
    s, t = student.numpy(), teacher.numpy()
    n, total = len(s), 0.0

    def score(i: int, j: int) -> float:
        cosine = s[i] @ t[j] / np.sqrt((s[i] @ s[i]) * (t[j] @ t[j]))
        return float(np.exp(cosine / temperature))

    for i in range(n):
        total -= np.log(score(i, i) / sum(score(i, j) for j in range(n)))
        total -= np.log(score(i, i) / sum(score(j, i) for j in range(n)))
    return total / (2 * n)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("shape", [(2, 2), (5, 8), (9, 3)])
def test_the_loss_is_that_of_the_formula(shape: tuple[int, int], temperature: float) -> None:
    student, teacher = random(*shape)
    expected = by_hand(student, teacher, temperature)
    assert info_nce_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-10)
    narrow = info_nce_loss(student.float(), teacher.float(), temperature)
    assert narrow.item() == pytest.approx(expected, rel=1e-4)


def test_a_value_worked_out_by_hand() -> None:
    # Cosines [[1, 0], [1, 0]]: at tau = 1/2 the rows find their pair with e^2 / (e^2 + 1) and
    # 1 / (e^2 + 1), the columns with a half each.
    student = torch.tensor([[2.0, 0.0], [5.0, 0.0]], dtype=torch.float64)
    teacher = torch.eye(2, dtype=torch.float64)
    e = np.exp(2)
    expected = -(np.log(e / (e + 1)) + np.log(1 / (e + 1)) + 2 * np.log(0.5)) / 4
    assert info_nce_loss(student, teacher, 0.5).item() == pytest.approx(expected, abs=1e-14)


def test_the_default_temperature_is_clips() -> None:
    pair = random(4, 6)
    assert info_nce_loss(*pair) == info_nce_loss(*pair, 0.07)
    assert InfoNCELoss().temperature == 0.07


def test_a_batch_of_one_has_no_negatives() -> None:
    student, teacher = random(1, 6)
    loss = info_nce_loss(student.requires_grad_(), teacher)
    loss.backward()
    assert loss == 0
    assert student.grad is not None
    assert student.grad.count_nonzero() == 0


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0])
def test_features_that_are_all_the_same_cost_log_n_without_a_gradient(value: float) -> None:
    for decoupler in (None, FrequencyDecoupler()):
        features = torch.full((6, 512), value, requires_grad=True)
        teacher = Output(torch.randn(6, 512), torch.zeros(6, 3))
        student = Output(features, torch.zeros(6, 3))
        term = InfoNCELoss(decoupler=decoupler)(student, teacher, torch.zeros(6).long())["infonce"]
        term.backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()
        if value == 0 or decoupler is not None:
            # No direction at all: they resemble nothing.
            assert term.item() == pytest.approx(np.log(6), rel=1e-6)
            assert features.grad.count_nonzero() == 0


def test_only_the_low_bands_are_compared() -> None:
    student, teacher = random(5, 16)
    outputs = [Output(x, torch.zeros(5, 3)) for x in (student, teacher)]
    loss = InfoNCELoss(temperature=0.2, decoupler=FrequencyDecoupler(0.25), weight=3.0)
    lows = [frequency_split(x, 0.25).low for x in (student, teacher)]
    expected = 3 * by_hand(lows[0], lows[1], 0.2)
    found = loss(*outputs, torch.zeros(5))["infonce"]
    assert found.item() == pytest.approx(expected, rel=1e-10)
    # What is in the high bands and the mean makes no difference.
    other = outputs[0]._replace(features=7 + lows[0] + 5 * frequency_split(teacher, 0.25).high)
    again = loss(other, outputs[1], torch.zeros(5))["infonce"]
    assert again.item() == pytest.approx(expected, rel=1e-10)
    assert InfoNCELoss(0.2)(*outputs, torch.zeros(5))["infonce"] == info_nce_loss(
        student, teacher, 0.2
    )


def test_a_low_band_of_residue_resembles_nothing() -> None:
    student, teacher = (x.float() for x in random(5, 16))
    features = frequency_split(student).high.requires_grad_()
    outputs = (Output(x, torch.zeros(5, 3)) for x in (features, teacher))
    term = InfoNCELoss(decoupler=FrequencyDecoupler())(*outputs, torch.zeros(5))["infonce"]
    term.backward()
    assert term.item() == pytest.approx(np.log(5), rel=1e-6)
    assert features.grad is not None
    assert features.grad.count_nonzero() == 0


def test_a_decouplers_term_and_logged_value_are_included() -> None:
    student, teacher = (Output(x, torch.zeros(4, 3)) for x in random(4, 8))
    decoupler = LearnableFrequencyDecoupler(0.25)
    loss = InfoNCELoss(decoupler=decoupler)
    terms = loss(student, teacher, torch.zeros(4))
    assert list(terms) == ["infonce", "cutoff"]
    terms["infonce"].backward()
    assert decoupler.theta.grad is not None
    assert decoupler.theta.grad.count_nonzero()
    assert loss.logged_values() == {"threshold": pytest.approx(0.25)}
    assert InfoNCELoss().logged_values() == {}


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = (x.requires_grad_() for x in random(4, 8))
    info_nce_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_a_temperature_that_is_not_above_0_is_an_error(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature={temperature} must be above 0"):
        InfoNCELoss(temperature)


def test_shapes_that_do_not_fit_are_named(
    pair: Callable[..., tuple[Output, Output, Tensor]],
) -> None:
    student, teacher, target = pair(size=(2, 3))
    with pytest.raises(ValueError, match=r"\[4, 16, 2, 3\].*LayerwiseLoss"):
        InfoNCELoss()(student, teacher, target)
    with pytest.raises(ValueError, match="set the module's `projector`"):
        info_nce_loss(torch.ones(4, 8), torch.ones(4, 6))


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_extremes_stay_finite(temperature: float) -> None:
    student, _ = random(6, 8)
    features = (1e6 * student).float().requires_grad_()
    loss = info_nce_loss(features, -1e6 * student.float(), temperature)
    loss.backward()
    assert loss.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_a_student_learns_to_be_found() -> None:
    _, teacher = random(32, 8)
    torch.manual_seed(0)
    x = torch.randn(32, 20)
    network = nn.Linear(20, 8)
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    values = []
    for _ in range(60):
        loss = info_nce_loss(network(x), teacher.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]


# Two processes, each with samples of its own, against one with all.


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Output:
        return Output(self.layer(x), x[:, :3])


def learn(parts: list[list[int]], rank: int) -> dict[str, list[Any]]:
    """The term and the gradients of what learns, for each way to hold the samples."""
    x = torch.randn(5, 2, 6, generator=torch.Generator().manual_seed(0)).double()
    found: dict[str, list[Any]] = {}
    for way in ("own", "missing", "repeated"):
        network = Net().double()
        loss = InfoNCELoss(0.3, LearnableFrequencyDecoupler()).double()
        rows = torch.tensor(parts[rank])
        if way == "repeated":
            # A sampler fills the last batch with the first sample.
            rows = rows if len(parts) > 1 and rank == 0 else torch.cat([rows, torch.tensor([0])])
        student = network(x[rows, 0])
        teacher = Output(x[rows, 1].repeat(1, 2)[:, :8], x[rows, 1, :3])
        target = torch.zeros(len(rows), dtype=torch.long)
        if way == "missing":
            # The last sample lacks the teacher's modality: all processes' pairs are put together.
            has = rows != 4
            batch = {"label": target, "index": rows, "present": {"audio": has}}
            (pair,) = make_pairs(student, {"audio": select(teacher, has)}, batch, len(rows))
            assert pair is not None
            student, teacher, target = pair.student, pair.teacher or teacher, pair.target
        terms = loss(student, teacher, target)
        sum(terms.values()).backward()
        weights = [*network.parameters(), *loss.parameters()]
        found[way] = [{k: v.detach() for k, v in terms.items()}, [p.grad for p in weights]]
    return found


def learn_on(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(learn([[0, 1, 2], [3, 4]], rank), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_learns_from_both_batches(
    on_two_ranks: Callable[..., None], tmp_path: Path
) -> None:
    on_two_ranks(tmp_path, learn_on)
    alone = learn([[0, 1, 2, 3, 4]], 0)
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for way, (terms, gradients) in alone.items():
        for found in both:
            torch.testing.assert_close(found[way][0], terms, rtol=1e-12, atol=0)
        for expected, *shares in zip(gradients, *(found[way][1] for found in both), strict=True):
            assert expected.count_nonzero()
            # As DDP averages.
            torch.testing.assert_close(sum(shares) / 2, expected, rtol=1e-10, atol=1e-14)
