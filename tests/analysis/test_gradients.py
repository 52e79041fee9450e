import math

import pytest
import torch

from fdkd_lightning.analysis.gradients import term_gradients


def test_opposed_gradients_have_cosine_minus_one_and_orthogonal_ones_zero() -> None:
    x, y = (torch.zeros(2, requires_grad=True) for _ in range(2))
    terms = {
        "task": 3 * x[0] + 4 * y[1],
        "opposed": -6 * x[0] - 8 * y[1],
        "orthogonal": 5 * x[1],
        "sixty degrees": 3 * x[0] + 4 * y[1] + math.sqrt(75) * y[0],
    }
    found = {g.term: g for g in term_gradients(terms, [x, y], "task")}
    assert [g.norm for g in found.values()] == pytest.approx([5, 10, 5, 10])
    assert [g.share for g in found.values()] == pytest.approx([1 / 6, 1 / 3, 1 / 6, 1 / 3])
    assert sum(g.share for g in found.values()) == pytest.approx(1)
    assert [g.cosine for g in found.values()] == pytest.approx([1, -1, 0, 0.5])


def test_no_gradient_has_no_direction() -> None:
    x = torch.zeros(2, requires_grad=True)
    other = torch.zeros(1, requires_grad=True)
    terms = {"task": x.sum(), "constant": torch.ones(()), "of others": other.sum()}
    task, constant, others = term_gradients(terms, [x, torch.zeros(3)], "task")
    assert task.share == 1
    assert constant.norm == others.norm == constant.share == 0
    assert math.isnan(constant.cosine)
    assert math.isnan(others.cosine)
    [alone] = term_gradients({"task": torch.ones(())}, [x], "task")
    assert math.isnan(alone.share)


def test_the_graph_stays_and_no_gradient_is_left_behind() -> None:
    x = torch.ones(1, requires_grad=True)
    loss = (x**2).sum()
    term_gradients({"task": loss}, [x], "task")
    assert x.grad is None
    loss.backward()
    assert x.grad is not None
    assert x.grad.item() == 2


def test_bad_arguments_are_refused() -> None:
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(KeyError, match="reference='task' is no term: name one of low"):
        term_gradients({"low": x.sum()}, [x], "task")
    with pytest.raises(ValueError, match="parameters holds none"):
        term_gradients({"low": x.sum()}, [x.detach()], "low")
