from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.cirkd import CIRKDLoss
from fdkd_lightning.losses.cirkd_features import feature_pair
from fdkd_lightning.losses.cirkd_v2 import CIRKDv2Loss
from fdkd_lightning.losses.permutations import Permutations
from fdkd_lightning.types import Output

SMALL: dict[str, Any] = {
    "pixel_memory_size": 30,
    "region_memory_size": 8,
    "channel_memory_size": 25,
    "pixel_samples": 20,
    "region_samples": 10,
    "channel_samples": 9,
}
CHANNELS = ("channel_pairs", "channel_memory", "channel_mse")


class Backwards(Permutations):
    def __call__(self, size: int) -> Tensor:
        return torch.arange(size).flip(0)


def batch(seed: int = 0, size: tuple[int, int] = (5, 7)) -> tuple[Output, Output, Tensor]:
    """A student of 4 channels, a teacher of 6, and labels with void pixels."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        Output(
            torch.randn(3, d, *size, dtype=torch.float64, generator=generator),
            torch.randn(3, 3, *size, dtype=torch.float64, generator=generator),
        )
        for d in (4, 6)
    )
    target = torch.randint(-1, 3, (3, *size), generator=generator)
    return student, teacher, target.where(target >= 0, -100)


def made(**options: Any) -> CIRKDv2Loss:
    torch.manual_seed(0)
    loss = CIRKDv2Loss(**SMALL | {"permutations": Backwards()} | options)
    loss.build(*batch()[:2])
    return loss.double()


def test_the_terms_are_those_of_the_parts() -> None:
    loss, parts = made(), made()
    student, teacher, target = batch()
    assert parts.non_local is not None
    assert parts.memory is not None
    assert parts.channels is not None
    assert parts.regression is not None
    terms = loss(student, teacher, target)
    pair = feature_pair(student, teacher, target, "exclude")
    features = parts.non_local(pair.student, pair.counted) * pair.counted[:, None]
    pair = pair._replace(student=features)
    expected = {
        **{name: 0.1 * x for name, x in parts.memory(pair, 0.1, Backwards()).items()},
        **parts.channels(pair, 0.1, Backwards()),
    }
    expected["channel_memory"] = 0.1 * expected["channel_memory"]
    expected["channel_mse"] = 100 * expected["channel_mse"]
    kept = [x.movedim(1, -1)[pair.counted] for x in (features, teacher.features)]
    expected["fitnet"] = (kept[0] @ parts.regression.weight.T - kept[1]).square().mean()
    plain = CIRKDLoss(lambda_pixel_memory=None, lambda_region_memory=None)
    expected |= plain(student._replace(features=features), teacher, target)
    assert terms.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, rtol=1e-10, atol=0)


def test_without_its_parts_it_is_cirkd() -> None:
    more = {f"lambda_{name}": None for name in (*CHANNELS, "fitnet")}
    loss = made(non_local=False, **more)
    names = {"pixel_memory_size", "region_memory_size", "pixel_samples", "region_samples"}
    options = {name: value for name, value in SMALL.items() if name in names}
    torch.manual_seed(0)
    plain = CIRKDLoss(**options, permutations=Backwards())
    plain.build(*batch()[:2])
    plain.double()
    assert loss.state_dict().keys() == plain.state_dict().keys()
    for seed in range(2):
        assert loss(*batch(seed)) == plain(*batch(seed))


@pytest.mark.parametrize("value", [9.0, float("nan")])
def test_void_pixels_take_no_part(value: float) -> None:
    results = []
    for is_spoilt in (False, True):
        loss = made()
        student, teacher, target = batch()
        target[1] = -100
        if is_spoilt:
            for output in (student, teacher):
                for x in output[:2]:
                    x.movedim(1, -1)[target == -100] = value
        features = student.features.requires_grad_()
        terms = loss(student, teacher, target)
        (gradient,) = torch.autograd.grad(sum(terms.values()), features)
        results.append((terms, gradient, loss.state_dict()))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


def test_a_void_batch_teaches_nothing() -> None:
    loss = made()
    before = {name: x.clone() for name, x in loss.state_dict().items()}
    student, teacher, target = batch()
    student.features.requires_grad_()
    terms = loss(student, teacher, torch.full_like(target, -100))
    assert not any(term.item() for term in terms.values())
    sum(terms.values()).backward()
    for x in (student.features, *loss.parameters()):
        assert x.grad is not None
        assert not x.grad.any()
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (6, 17)])
def test_any_size_of_maps(size: tuple[int, int]) -> None:
    loss = CIRKDv2Loss(**SMALL)
    student, teacher, target = batch(size=size)
    one = [Output(o.features[:1].float(), o.logits[:1].float()) for o in (student, teacher)]
    loss.build(*one)
    terms = loss(*one, target[:1].clamp_min(0))
    assert all(term.isfinite() for term in terms.values())


def test_a_resumed_loss_goes_on_exactly() -> None:
    loss, other = made(permutations=None), made(permutations=None)
    loss(*batch())
    other.load_state_dict(loss.state_dict())
    results = []
    for each in (loss, other):
        torch.manual_seed(1)
        results.append([each(*batch(seed)) for seed in (1, 2)])
    assert results[0] == results[1]
    torch.testing.assert_close(other.state_dict(), loss.state_dict(), rtol=0, atol=0)


def test_maps_of_another_size_than_built_for_are_named() -> None:
    with pytest.raises(ValueError, match="train with images of one size"):
        made()(*batch(size=(9, 9)))


WITHOUT_PAIRS = {"lambda_pixel_pairs": None, "lambda_channel_pairs": None}


def on_a_rank(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    case = torch.load(folder / "case.pt", weights_only=False)
    part = slice(0, 2) if rank == 0 else slice(2, 3)
    loss, drawn = made(**WITHOUT_PAIRS), made(**WITHOUT_PAIRS, permutations=None)
    found = []
    torch.manual_seed(rank)  # each rank draws for itself
    for student, teacher, target in case:
        outputs = (Output(o.features[part], o.logits[part]) for o in (student, teacher))
        terms = loss(*(few := [*outputs]), target[part])
        found.append({name: t.detach() for name, t in terms.items()})
        drawn(*few, target[part])
    torch.save((found, loss.state_dict(), drawn.state_dict()), folder / f"found{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_are_one_process_with_the_whole_batch(
    on_two_ranks: Callable[..., None], tmp_path: Path
) -> None:
    case = [batch(seed) for seed in range(3)]
    case[1][2][2] = -100  # a rank without a label
    torch.save(case, tmp_path / "case.pt")
    on_two_ranks(tmp_path, on_a_rank)
    ranks = [torch.load(tmp_path / f"found{rank}.pt", weights_only=False) for rank in range(2)]
    loss = made(**WITHOUT_PAIRS)
    for step, whole in enumerate(case):
        for name, value in loss(*whole).items():
            mean = sum(found[step][name] for found, *_ in ranks) / 2
            torch.testing.assert_close(mean, value.detach(), rtol=0, atol=1e-10)
    for _, state, _ in ranks:
        torch.testing.assert_close(state, loss.state_dict(), rtol=0, atol=1e-12)
    torch.testing.assert_close(ranks[0][2], ranks[1][2], rtol=0, atol=0)
