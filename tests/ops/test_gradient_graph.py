import torch

from fdkd_lightning.ops.gradient_graph import nodes_of, reaches


def test_a_leaf_and_a_result_can_be_reached() -> None:
    leaf = torch.ones(2, requires_grad=True)
    other, result = torch.ones(2, requires_grad=True), 3 * leaf
    assert reaches(result.sum(), nodes_of([leaf]))
    assert reaches(result.sum(), nodes_of([other, result]))
    assert not reaches((3 * other).sum(), nodes_of([leaf, result]))


def test_what_has_no_gradient_is_not_reached() -> None:
    leaf = torch.ones(2, requires_grad=True)
    assert nodes_of([leaf.detach()]) == set()
    assert not reaches(leaf.detach().sum(), nodes_of([leaf]))
    assert not reaches(leaf.sum(), set())
