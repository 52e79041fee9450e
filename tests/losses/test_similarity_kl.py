import torch
from torch import Tensor

from fdkd_lightning.losses.similarity_kl import similarity_kl


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, 3), (5, 4), (2, 6, 3), (2, 6, 4))
    made = [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]
    return made[0], made[1], made[2], made[3]


def test_it_is_the_divergence_of_each_row_and_group() -> None:
    rows, teacher, keys, teacher_keys = inputs()
    mask = torch.tensor([[True] * 6, [True, False, True, True, False, True]])
    found = similarity_kl(rows, teacher, keys, teacher_keys, 0.5, mask)
    for r in range(5):
        for g in range(2):
            p, q = (
                torch.stack([v[r] @ k[g, i] / 0.5 for i in range(6) if mask[g, i]]).softmax(0)
                for v, k in ((teacher, teacher_keys), (rows, keys))
            )
            expected = (p * (p / q).log()).sum()
            torch.testing.assert_close(found[r, g], expected, rtol=0, atol=1e-12)


def test_rows_that_are_done_in_turn_have_the_same_value_and_gradient() -> None:
    results = []
    for largest in (2**20, 24, 1):
        rows, teacher, keys, teacher_keys = (x.requires_grad_() for x in inputs())
        found = similarity_kl(rows, teacher, keys, teacher_keys, 0.5, largest=largest)
        found.sum().backward()
        assert teacher.grad is None
        assert teacher_keys.grad is None
        results.append((found, rows.grad, keys.grad))
    for result in results[1:]:
        for part, whole in zip(result, results[0], strict=True):
            torch.testing.assert_close(part, whole, rtol=0, atol=1e-12)


def test_a_group_without_keys_stays_finite() -> None:
    rows, teacher, keys, teacher_keys = inputs()
    mask = torch.tensor([[False] * 6, [True] * 6])
    assert similarity_kl(rows, teacher, keys, teacher_keys, 0.5, mask).isfinite().all()


def test_no_rows_have_a_gradient_of_zero() -> None:
    _, teacher, keys, teacher_keys = inputs()
    rows = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    found = similarity_kl(rows, teacher[:0], keys, teacher_keys)
    assert found.shape == (0, 2)
    found.sum().backward()
    assert rows.grad is not None


def test_autocast_does_not_round_the_products() -> None:
    rows, teacher, keys, teacher_keys = (x.float() for x in inputs())
    expected = similarity_kl(rows, teacher, keys, teacher_keys)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(similarity_kl(rows, teacher, keys, teacher_keys), expected)
