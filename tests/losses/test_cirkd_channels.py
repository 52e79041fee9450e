import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.cirkd_channels import ChannelMemory
from fdkd_lightning.losses.cirkd_features import FeaturePair
from fdkd_lightning.losses.permutations import Permutations


class Backwards(Permutations):
    def __call__(self, size: int) -> Tensor:
        return torch.arange(size).flip(0)


def pair(seed: int, size: tuple[int, int] = (5, 9)) -> FeaturePair:
    """Three images; a corner of the first and all of the second are void, in the third step all."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        torch.randn(3, d, *size, dtype=torch.float64, generator=generator) for d in (4, 6)
    )
    counted = torch.ones(3, *size, dtype=torch.bool)
    counted[0, :4, :6] = counted[1] = seed == 1
    if seed == 2:
        counted[:] = False
    student, teacher = (x * counted[:, None] for x in (student, teacher))
    return FeaturePair(student, teacher, torch.where(counted, 0, -100), counted)


def made(positions: int = 6) -> ChannelMemory:
    torch.manual_seed(0)
    return ChannelMemory(4, 6, positions, size=20, samples=7).double()


def pooled(x: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Means over blocks of 4x4 of the pixels that count: [C, blocks], and where there are any."""
    columns, kept = [], []
    for top in range(0, x.shape[1], 4):
        for left in range(0, x.shape[2], 4):
            mask = counted[top : top + 4, left : left + 4]
            values = x[:, top : top + 4, left : left + 4][:, mask]
            columns.append(values.mean(1) if mask.any() else torch.zeros(len(x)).double())
            kept.append(bool(mask.any()))
    return torch.stack(columns, 1), torch.tensor(kept)


def unit(x: Tensor) -> Tensor:
    return x / x.norm() if x.any() else x


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    q, p = (student / temperature).softmax(0), (teacher / temperature).softmax(0)
    return (p * (p / q).log()).sum()


def test_five_steps_are_the_loops() -> None:
    memory = made()
    queue, start = [*memory.queue.rows[0].clone()], 0
    for seed in range(5):
        images = pair(seed)
        student_maps = images.student.clone().requires_grad_()
        terms = memory(images._replace(student=student_maps), 0.2, Backwards())
        blocks = [pooled(x, c) for x, c in zip(student_maps, images.counted, strict=True)]
        rows = torch.cat([columns.T for columns, _ in blocks])
        # Its statistics are a test of its own.
        kept = torch.cat([mask for _, mask in blocks])
        projected = (memory.projection(rows, kept) * kept[:, None]).view(3, 6, 6).mT
        present = [n for n in range(3) if images.counted[n].any()]
        student = [[unit(channel) for channel in projected[n]] for n in present]
        teacher = [
            [unit(x) for x in pooled(images.teacher[n], images.counted[n])[0]] for n in present
        ]
        pairs, mse, cells = [], torch.zeros(()).double(), 0
        for i, n in enumerate(present):
            for s, t in zip(student[i], teacher[i], strict=True):
                mse = mse + ((s - t) ** 2).sum()
                cells += int(blocks[n][1].sum())
                for j in range(len(present)):
                    both = torch.stack(student[j]) @ s, torch.stack(teacher[j]) @ t
                    pairs.append(divergence(*both, 0.2))
        added = [x for image in teacher for x in image][::-1][:20]
        if start + len(added) >= 20:
            start, after = 20 - len(added), 0
        else:
            after = start + len(added)
        for i, row in enumerate(added):
            queue[start + i] = row
        start = after
        keys = torch.stack(queue[::-1][:7])
        to_memory = [
            divergence(keys @ s, keys @ t, 0.2)
            for own, its in zip(student, teacher, strict=True)
            for s, t in zip(own, its, strict=True)
        ]
        torch.testing.assert_close(memory.queue.rows[0], torch.stack(queue), rtol=0, atol=1e-12)
        assert memory.queue.pointer.tolist() == [start]
        if seed == 2:
            assert not any(term.item() for term in terms.values())
            continue
        expected = {
            "channel_pairs": torch.stack(pairs).mean(),
            "channel_memory": torch.stack(to_memory).mean(),
            "channel_mse": mse / cells,
        }
        for name, value in expected.items():
            assert terms[name].item() == pytest.approx(value.item(), abs=1e-10), (name, seed)
        found, hand = (
            torch.autograd.grad(sum(t.values()), student_maps)[0] * images.counted[:, None]
            for t in (terms, expected)
        )
        torch.testing.assert_close(found, hand, rtol=0, atol=1e-10)


def test_without_given_permutations_channels_that_count_are_added_first() -> None:
    memory = made()
    memory(pair(0), 0.2)
    assert memory.queue.pointer.tolist() == [12]  # of two images
    teacher = pair(0).teacher
    expected = torch.cat([pooled(teacher[n], pair(0).counted[n])[0] for n in (0, 2)])
    expected = expected / expected.norm(dim=1, keepdim=True)
    distances = torch.cdist(memory.queue.rows[0, :12], expected)
    assert (distances.min(0).values < 1e-6).all()


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[5, 9\] pixels have 6 blocks of 4x4.*built for 4"):
        made(4)(pair(0), 0.2)
