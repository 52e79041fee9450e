from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.cirkd import CIRKDLoss
from fdkd_lightning.losses.cirkd_features import feature_pair, pixel_pairs
from fdkd_lightning.losses.permutations import Permutations, PublishedPermutations
from fdkd_lightning.types import Output

SMALL: dict[str, Any] = {
    "pixel_memory_size": 30,
    "region_memory_size": 8,
    "pixel_samples": 20,
    "region_samples": 10,
}


class Backwards(Permutations):
    def __call__(self, size: int) -> Tensor:
        return torch.arange(size).flip(0)


def outputs(n: int = 3, seed: int = 0, size: tuple[int, int] = (5, 7)) -> tuple[Output, ...]:
    """A student of 4 channels, a teacher of 6, and labels of twice the size with void pixels."""
    generator = torch.Generator().manual_seed(seed)
    labels = tuple(2 * s - 1 for s in size)
    student, teacher = (
        Output(
            torch.randn(n, d, *size, dtype=torch.float64, generator=generator),
            torch.randn(n, 3, *labels, dtype=torch.float64, generator=generator),
        )
        for d in (4, 6)
    )
    return student, teacher


def labels(n: int = 3, seed: int = 0, size: tuple[int, int] = (5, 7)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(-1, 3, (n, 2 * size[0] - 1, 2 * size[1] - 1), generator=generator)
    return target.where(target >= 0, -100)


def made(**options: Any) -> CIRKDLoss:
    torch.manual_seed(0)
    loss = CIRKDLoss(**SMALL | options)
    loss.build(*outputs())
    return loss.double()


def spoilt(output: Output, void: Tensor, value: float) -> Output:
    """The output with other values where the target, or the nearest label, is void."""
    features, logits = output.features.clone(), output.logits.clone()
    logits.movedim(1, -1)[void] = value
    nearest = torch.nn.functional.interpolate(
        void[:, None].float(), features.shape[2:], mode="nearest"
    )
    features.movedim(1, -1)[nearest[:, 0].bool()] = value
    return Output(features, logits)


def test_the_terms_are_those_of_the_parts() -> None:
    loss = made(permutations=Backwards(), kd_temperature=2.0, lambda_pixel_pairs=0.5)
    (student, teacher), target = outputs(), labels()
    terms = loss(student, teacher, target)
    q, p = ((x.logits / 2).softmax(1) for x in (student, teacher))
    divergence = (p * (p / q).log()).sum(1)
    assert terms["kd"].item() == pytest.approx(4 * divergence[target >= 0].mean().item())
    pair = feature_pair(student, teacher, target, "exclude")
    torch.testing.assert_close(terms["pixel_pairs"], 0.5 * pixel_pairs(pair))
    memory = made(permutations=Backwards()).memory
    assert memory is not None
    for name, term in memory(pair, 0.1, Backwards()).items():
        torch.testing.assert_close(terms[name], 0.1 * term)


@pytest.mark.parametrize("value", [9.0, float("nan")])
def test_void_pixels_take_no_part(value: float) -> None:
    results = []
    for seed in (None, value):
        loss = made()
        target = labels()
        target[1] = -100  # a whole image, too
        student, teacher = outputs()
        if seed is not None:
            student, teacher = (spoilt(o, target == -100, value) for o in (student, teacher))
        features = student.features.requires_grad_()
        torch.manual_seed(1)
        terms = loss(student, teacher, target)
        (gradient,) = torch.autograd.grad(sum(terms.values()), features)
        results.append((terms, gradient, loss.state_dict()))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


def test_a_void_image_is_as_good_as_none() -> None:
    kept = torch.tensor([0, 2])
    found, expected = (made(permutations=Backwards()) for _ in range(2))
    (student, teacher), target = outputs(), labels()
    target[1] = -100
    few = (Output(o.features[kept], o.logits[kept]) for o in (student, teacher))
    terms = expected(*few, target[kept])
    torch.testing.assert_close(found(student, teacher, target), terms, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("permutations", [None, PublishedPermutations()])
def test_a_void_batch_teaches_nothing(permutations: Permutations | None) -> None:
    loss = made(permutations=permutations)
    before = {name: x.clone() for name, x in loss.state_dict().items()}
    student, teacher = outputs()
    leaves = [x.requires_grad_() for x in (student.features, student.logits)]
    terms = loss(student, teacher, torch.full_like(labels(), -100))
    assert not any(term.item() for term in terms.values())
    sum(terms.values()).backward()
    for x in (*leaves, *loss.parameters()):
        assert x.grad is not None  # DDP waits for each
        assert not x.grad.any()
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)


def test_kept_pixels_without_a_label_teach_all_but_the_memories() -> None:
    loss = made(void="keep")
    student, teacher = outputs()
    terms = loss(student, teacher, torch.full_like(labels(), -100))
    assert {name for name, term in terms.items() if term > 0} == {"kd", "pixel_pairs"}


def test_a_single_image_of_one_class_and_one_pixel() -> None:
    loss = made()
    student, teacher = outputs(1, size=(1, 1))
    terms = loss(student, teacher, torch.zeros(1, 1, 1, dtype=torch.long))
    assert all(term.isfinite() for term in terms.values())
    assert terms["pixel_pairs"] == 0
    assert loss.memory is not None
    assert loss.memory.queues["pixel"].pointer.tolist() == [1, 0, 0]


def test_a_resumed_loss_goes_on_exactly() -> None:
    loss, other = made(), made()
    loss(*outputs(), labels())
    torch.manual_seed(5)
    other.load_state_dict(loss.state_dict())
    results = []
    for each in (loss, other):
        torch.manual_seed(1)
        results.append([each(*outputs(seed=s), labels(seed=s)) for s in (1, 2)])
    assert results[0] == results[1]
    torch.testing.assert_close(other.state_dict(), loss.state_dict(), rtol=0, atol=0)


def test_a_teacher_of_nan_shows_and_stays_out_of_the_queues() -> None:
    loss = made()
    assert loss.memory is not None
    before = {name: x.clone() for name, x in loss.memory.queues.state_dict().items()}
    student, teacher = outputs()
    features = teacher.features.clone()
    features[2] = torch.nan
    terms = loss(student, teacher._replace(features=features), labels())
    assert terms["pixel_pairs"].isnan()
    assert terms["region_memory"].isnan()
    torch.testing.assert_close(loss.memory.queues.state_dict(), before, rtol=0, atol=0)
    assert all(term.isfinite() for term in loss(student, teacher, labels()).values())


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = outputs()
    teacher = Output(*(x.requires_grad_() for x in teacher[:2]))
    terms = made()(student._replace(features=student.features.requires_grad_()), teacher, labels())
    sum(terms.values()).backward()
    assert teacher.features.grad is None
    assert teacher.logits.grad is None


def test_terms_without_a_weight_and_their_parts_are_absent() -> None:
    alone = {"lambda_pixel_memory": None, "lambda_region_memory": None}
    loss = made(**alone)
    assert loss.memory is None
    assert [*loss(*outputs(), labels())] == ["kd", "pixel_pairs"]
    with pytest.raises(ValueError, match="are all None, which leaves no term"):
        made(**alone, lambda_kd=None, lambda_pixel_pairs=None)


def test_mistakes_are_named() -> None:
    (student, teacher), target = outputs(), labels()
    with pytest.raises(RuntimeError, match=r"build\(student, teacher\)"):
        CIRKDLoss(**SMALL)(student, teacher, target)
    loss = made()
    with pytest.raises(ValueError, match=r"features have shape \[3, 4\]: give maps"):
        loss(student._replace(features=student.features[..., 0, 0]), teacher, target)
    with pytest.raises(ValueError, match=r"Projector\(positions='resize'\)"):
        loss(student._replace(features=student.features[..., 1:]), teacher, target)
    with pytest.raises(ValueError, match="compares pixels, so give class scores"):
        loss(student._replace(logits=student.logits[..., 0, 0]), teacher, target)


def on_a_rank(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    case = torch.load(folder / "case.pt", weights_only=False)
    loss = made(lambda_pixel_pairs=None, permutations=Backwards())
    found = []
    # The last step has images on one rank alone.
    for step, (student, teacher, target) in enumerate(case):
        part = slice(0, 3 - (step < 2)) if rank == 0 else slice(3 - (step < 2), 3)
        loss.zero_grad()
        terms = loss(
            *(Output(o.features[part], o.logits[part]) for o in (student, teacher)), target[part]
        )
        sum(terms.values()).backward()
        gradients = {name: p.grad for name, p in loss.named_parameters()}
        found.append(({name: t.detach() for name, t in terms.items()}, gradients))
    torch.save((found, loss.state_dict()), folder / f"found{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_are_one_process_with_the_whole_batch(
    on_two_ranks: Callable[..., None], tmp_path: Path
) -> None:
    case = [(*outputs(seed=s), labels(seed=s)) for s in range(3)]
    case[1][2][2] = -100  # a rank without a label
    torch.save(case, tmp_path / "case.pt")
    on_two_ranks(tmp_path, on_a_rank)
    ranks = [torch.load(tmp_path / f"found{rank}.pt", weights_only=False) for rank in range(2)]
    loss = made(lambda_pixel_pairs=None, permutations=Backwards())
    for step, batch in enumerate(case):
        loss.zero_grad()
        terms = loss(*batch)
        sum(terms.values()).backward()
        gradients = {name: p.grad for name, p in loss.named_parameters()}
        for i, expected in enumerate((terms, gradients)):
            for name, value in expected.items():
                mean = sum(found[step][i][name] for found, _ in ranks) / 2
                torch.testing.assert_close(mean, value.detach(), rtol=0, atol=1e-10)
    for _, state in ranks:
        torch.testing.assert_close(state, loss.state_dict(), rtol=0, atol=1e-12)
