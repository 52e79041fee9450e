from typing import Literal

import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.cirkd_features import FeaturePair, feature_pair
from fdkd_lightning.losses.cirkd_memory import ClassMemory
from fdkd_lightning.losses.permutations import Permutations
from fdkd_lightning.types import Output


class Backwards(Permutations):
    def __call__(self, size: int) -> Tensor:
        return torch.arange(size).flip(0)


def pair(seed: int) -> FeaturePair:
    """Three images of 3 classes with void pixels; the third step has no label."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        Output(*(torch.randn(3, d, 3, 4, dtype=torch.float64, generator=generator) for d in (c, 3)))
        for c in (4, 6)
    )
    target = torch.randint(-1, 3, (3, 3, 4), generator=generator)
    target = target.where((target >= 0) & torch.tensor(seed != 2), -100)
    return feature_pair(student, teacher, target, "exclude")


def unit(x: Tensor) -> Tensor:
    """Zero stays zero."""
    return x / x.norm() if x.any() else x


class ByHand:
    """The memory as lists, filled and compared pixel by pixel."""

    def __init__(self, memory: ClassMemory, positions: str) -> None:
        self.memory = memory
        self.positions = positions
        self.rows = {kind: [[*row] for row in q.rows.clone()] for kind, q in memory.queues.items()}
        self.next = {kind: [0] * memory.classes for kind in memory.queues}

    def enqueue(self, images: FeaturePair) -> None:
        for teacher, labels in zip(images.teacher, images.labels.flatten(1), strict=True):
            pixels = [unit(x) for x in teacher.flatten(1).T]
            for k in range(self.memory.classes):
                own = [i for i, label in enumerate(labels.tolist()) if label == k]
                if not own:
                    continue
                region = torch.stack([pixels[i] for i in own]).mean(0)
                size = len(self.rows["region"][k])
                self.rows["region"][k][self.next["region"][k]] = unit(region)
                self.next["region"][k] = (self.next["region"][k] + 1) % size
                places = own if self.positions == "class" else [*range(len(own))]
                chosen = places[::-1][: self.memory.pixels_per_class]
                queue, start = self.rows["pixel"][k], self.next["pixel"][k]
                if start + len(chosen) >= len(queue):
                    start, self.next["pixel"][k] = len(queue) - len(chosen), 0
                else:
                    self.next["pixel"][k] += len(chosen)
                for i, place in enumerate(chosen):
                    queue[start + i] = unit(pixels[place])

    def terms(self, images: FeaturePair, student: Tensor, temperature: float) -> dict[str, Tensor]:
        found = {}
        labelled = [i for i, c in enumerate(images.counted.flatten().tolist()) if c]
        teacher = images.teacher.movedim(1, -1).flatten(0, 2)
        for kind, queues in self.rows.items():
            count = self.memory.samples[kind]
            keys = torch.stack([row for queue in queues for row in queue[::-1][:count]])
            total = torch.zeros((), dtype=torch.float64)
            for i in labelled:
                q, p = ((keys @ unit(x[i]) / temperature).softmax(0) for x in (student, teacher))
                total = total + (p * (p / q).log()).sum() / len(labelled)
            found[f"{kind}_memory"] = total
        return found


def made(positions: Literal["class", "published"] = "class") -> ClassMemory:
    torch.manual_seed(0)
    memory = ClassMemory(
        4,
        6,
        3,
        pixel_size=11,
        region_size=4,
        pixel_samples=20,
        region_samples=5,
        pixels_per_class=3,
        pixel_positions=positions,
    )
    return memory.double()


@pytest.mark.parametrize("positions", ["class", "published"])
def test_five_steps_are_the_loops(positions: Literal["class", "published"]) -> None:
    memory = made(positions)
    hand = ByHand(memory, positions)
    for seed in range(5):
        images = pair(seed)
        student = images.student.clone().requires_grad_()
        terms = memory(images._replace(student=student), 0.2, Backwards())
        hand.enqueue(images)
        # Its statistics are a test of its own.
        rows = student.movedim(1, -1).flatten(0, 2)
        projected = memory.projection(rows, images.counted.flatten())
        expected = hand.terms(images, projected, 0.2)
        for name, term in terms.items():
            assert term.item() == pytest.approx(expected[name].item(), abs=1e-10)
        (gradient,) = torch.autograd.grad(sum(terms.values()), student)
        if seed == 2:
            assert not gradient.any()
        else:
            (by_hand,) = torch.autograd.grad(sum(expected.values()), student)
            torch.testing.assert_close(gradient, by_hand, rtol=0, atol=1e-10)
        for kind, queues in memory.queues.items():
            rows = torch.stack([torch.stack(queue) for queue in hand.rows[kind]])
            torch.testing.assert_close(queues.rows, rows, rtol=0, atol=1e-12)
            assert queues.pointer.tolist() == hand.next[kind]


def test_no_void_pixel_enters_a_queue() -> None:
    memory = made()
    images = pair(0)
    marked = images.teacher.clone()
    marked.movedim(1, -1)[~images.counted] = torch.tensor([1.0, 0, 0, 0, 0, 0]).double()
    for _ in range(20):
        memory(images._replace(teacher=marked), 0.2)
    rows = torch.cat([queues.rows.flatten(0, 1) for queues in memory.queues.values()])
    assert (rows[:, 0] < 1 - 1e-6).all()


def test_in_eval_mode_nothing_is_added() -> None:
    memory = made().eval()
    before = {name: x.clone() for name, x in memory.state_dict().items()}
    terms = memory(pair(0), 0.2)
    assert all(term > 0 for term in terms.values())
    torch.testing.assert_close(memory.state_dict(), before, rtol=0, atol=0)


def test_with_one_kind_there_is_one_queue() -> None:
    memory = ClassMemory(4, 6, 3, kinds=["region"], region_size=5).double()
    assert [*memory(pair(0), 0.2)] == ["region_memory"]
    assert [*memory.queues] == ["region"]
