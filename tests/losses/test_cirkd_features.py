import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.cirkd_features import FeaturePair, feature_pair, pixel_pairs
from fdkd_lightning.types import Output


def outputs(n: int = 3, size: tuple[int, int] = (3, 5)) -> tuple[Output, Output, Tensor]:
    """A student of 4 channels, a teacher of 6, and labels of twice the size with void pixels."""
    generator = torch.Generator().manual_seed(0)
    labels = tuple(2 * s for s in size)
    student, teacher = (
        Output(
            torch.randn(n, d, *size, dtype=torch.float64, generator=generator),
            torch.randn(n, 3, *labels, dtype=torch.float64, generator=generator),
        )
        for d in (4, 6)
    )
    target = torch.randint(-1, 3, (n, *labels), generator=generator)
    return student, teacher, target.where(target >= 0, -100)


def by_hand(pair: FeaturePair, temperature: float) -> float:
    """Loops over images, and over the pixels that count."""
    vectors = []
    for n in range(len(pair.student)):
        kept = pair.counted[n].flatten()
        vectors.append([x[n].flatten(1).T[kept] for x in (pair.student, pair.teacher)])
    vectors = [[v / v.norm(dim=1, keepdim=True) for v in both] for both in vectors]
    images = [i for i, both in enumerate(vectors) if len(both[0])]
    total = 0.0
    for i in images:
        for j in images:
            for p in range(len(vectors[i][0])):
                q, t = ((vectors[j][a] @ vectors[i][a][p] / temperature).softmax(0) for a in (0, 1))
                total += (t * (t / q).log()).sum().item() / len(vectors[i][0])
    return total / max(len(images), 1) ** 2


@pytest.mark.parametrize("void", ["exclude", "keep"])
@pytest.mark.parametrize("n", [1, 3])
def test_the_pairs_are_those_of_the_formula(n: int, void: str) -> None:
    student, teacher, target = outputs(n)
    target[-1, :, 3:] = -100
    pair = feature_pair(student, teacher, target, void)  # type: ignore[arg-type]
    assert pixel_pairs(pair, 0.3).item() == pytest.approx(by_hand(pair, 0.3), rel=1e-10)


def test_an_image_without_labels_is_left_out_of_the_pairs() -> None:
    student, teacher, target = outputs()
    target[1] = -100
    found = pixel_pairs(feature_pair(student, teacher, target, "exclude"))
    kept = torch.tensor([0, 2])
    few = (Output(o.features[kept], o.logits[kept]) for o in (student, teacher))
    expected = pixel_pairs(feature_pair(*few, target[kept], "exclude"))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_pooling_compares_means_of_blocks() -> None:
    student, teacher, target = outputs()
    pair = feature_pair(student, teacher, target, "keep")
    pooled = (torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True) for x in pair[:2])
    few = FeaturePair(*pooled, pair.labels, torch.ones(3, 2, 3, dtype=torch.bool))
    assert pixel_pairs(pair, pooling=2) == pixel_pairs(few)


def test_a_pixel_needs_a_label_of_both_networks() -> None:
    student, teacher, target = outputs()
    other = target.flip(0)
    pair = feature_pair(student, teacher._replace(label=other), target, "exclude")
    nearest = target[:, ::2, ::2], other[:, ::2, ::2]
    assert torch.equal(pair.counted, (nearest[0] != -100) & (nearest[1] != -100))
    assert torch.equal(pair.labels[pair.counted], nearest[1][pair.counted])
