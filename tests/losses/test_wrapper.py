"""Every class that wraps losses, with losses that keep what is asked of them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.composite import CompositeLoss
from fdkd_lightning.losses.controls import ShuffledPairs
from fdkd_lightning.losses.layerwise import LayerwiseLoss
from fdkd_lightning.losses.mutual import MutualLoss
from fdkd_lightning.losses.wrapper import WrapperLoss
from fdkd_lightning.types import Output

Pair = Callable[..., tuple[Output, Output, Tensor]]


class Probe(DistillationLoss):
    """A loss with a value in everything that is forwarded."""

    def __init__(self, value: float = 1.0, single: bool = False, warmup: int = 0) -> None:
        super().__init__()
        self.value = value
        self.single = single
        self.warmup = warmup
        self.epoch = 0
        self.built: list[tuple[Output, Output | None]] = []

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        return {"term": torch.tensor(self.value)}

    def build(self, student: Output, teacher: Output | None) -> None:
        self.built.append((student, teacher))

    def single_teacher_only(self) -> bool:
        return self.single

    def warmup_epochs(self) -> int:
        return self.warmup

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def heads(self, student: Output) -> dict[str, Tensor]:
        return {"head": student.features.detach() + self.value}

    def logged_values(self) -> dict[str, Tensor]:
        return {"value": torch.tensor(self.value)}


WRAPPERS: dict[str, tuple[Callable[[Probe, Probe], WrapperLoss], list[str]]] = {
    "composite": (lambda a, b: CompositeLoss({"a": a, "b": b}), ["a/", "b/"]),
    "nested": (
        lambda a, b: CompositeLoss({"a": a, "in": CompositeLoss({"b": b})}),
        ["a/", "in/b/"],
    ),
    "mutual": (lambda a, b: MutualLoss(a, teacher_criterion=b), ["", "teacher/"]),
    "mutual, one": (lambda a, b: MutualLoss(a), [""]),
    "shuffled": (lambda a, b: ShuffledPairs(a), [""]),
    "layerwise": (lambda a, b: LayerwiseLoss(a, stages=[1, -1]), ["stage1/", "stage-1/"]),
}
every_wrapper = pytest.mark.parametrize("name", WRAPPERS)


def probes(loss: torch.nn.Module) -> list[Probe]:
    return [module for module in loss.modules() if isinstance(module, Probe)]


@every_wrapper
def test_the_epoch_reaches_every_wrapped_loss(name: str) -> None:
    loss = WRAPPERS[name][0](Probe(), Probe())
    loss.set_epoch(7)
    assert [probe.epoch for probe in probes(loss)] == [7] * len(WRAPPERS[name][1])


@every_wrapper
def test_the_longest_warm_up_and_any_single_teacher_count(name: str) -> None:
    make, prefixes = WRAPPERS[name]
    plain = make(Probe(), Probe())
    assert (plain.warmup_epochs(), plain.single_teacher_only()) == (0, False)
    assert make(Probe(warmup=3), Probe(warmup=2)).warmup_epochs() == 3
    two = name in ("composite", "nested", "mutual")
    assert make(Probe(warmup=1), Probe(warmup=5)).warmup_epochs() == (5 if two else 1)
    assert make(Probe(), Probe(single=True)).single_teacher_only() == two
    if name != "mutual, one":  # which refuses such a criterion
        assert make(Probe(single=True), Probe()).single_teacher_only()
    assert len(prefixes) == len(probes(plain))


@every_wrapper
def test_logged_values_are_collected_under_their_prefixes(name: str) -> None:
    make, prefixes = WRAPPERS[name]
    loss = make(Probe(1.0), Probe(2.0))
    values = [probe.value for probe in probes(loss)]
    expected = {f"{prefix}value": x for prefix, x in zip(prefixes, values, strict=True)}
    assert {key: x.item() for key, x in loss.logged_values().items()} == expected
    assert list(loss.logged_values()) == list(expected)


@every_wrapper
def test_heads_of_the_student_are_collected_under_their_prefixes(pair: Pair, name: str) -> None:
    make, prefixes = WRAPPERS[name]
    student, _, _ = pair()
    heads = make(Probe(1.0), Probe(2.0)).heads(student)
    if name == "mutual":  # the teacher's criterion has heads on the teacher
        prefixes = prefixes[:1]
    assert list(heads) == [f"{prefix}head" for prefix in prefixes]
    if name == "layerwise":
        stages = [student.maps[1].mean((2, 3)), student.maps[-1].mean((2, 3))]
        expected = [stage + 1 for stage in stages]
    else:
        expected = [student.features + 1, student.features + 2][: len(heads)]
    for found, head in zip(heads.values(), expected, strict=True):
        torch.testing.assert_close(found, head)


@every_wrapper
def test_every_wrapped_loss_is_built(pair: Pair, name: str) -> None:
    student, teacher, _ = pair()
    loss = WRAPPERS[name][0](Probe(), Probe())
    loss.build(student, teacher)
    built = [call for probe in probes(loss) for call in probe.built]
    forward, back = (student, teacher), (teacher, student)
    if name == "layerwise":
        # Projected to the teacher's width.
        for (own, other), stage in zip(built, (1, -1), strict=True):
            assert other is not None
            torch.testing.assert_close(other.features, teacher.maps[stage].mean((2, 3)))
            assert own.features.shape == other.features.shape
            assert own.logits is student.logits
    elif name.startswith("mutual"):
        assert built == [forward, back]
    else:
        assert built == [forward] * len(built)
    loss = WRAPPERS[name][0](Probe(), Probe())
    loss.build(student, None)
    calls = [call for probe in probes(loss) for call in probe.built]
    assert len(calls) == (1 if name.startswith("mutual") else len(probes(loss)))
    assert all(other is None for _, other in calls)


def test_a_wrapper_names_what_it_wraps() -> None:
    class Nothing(WrapperLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            return {}

    with pytest.raises(TypeError, match=r"abstract .*wrapped"):
        Nothing()
