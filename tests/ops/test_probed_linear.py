import pytest
import torch
from torch import nn

from fdkd_lightning.ops.probed_linear import ProbedLinear


def test_it_is_a_linear_layer_over_dim_1() -> None:
    layer, reference = ProbedLinear(5, 3), nn.Linear(5, 3)
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 4, 6)
    torch.testing.assert_close(layer(x[..., 0, 0]), reference(x[..., 0, 0]))
    assert layer.weight is not None
    pixels = nn.functional.conv2d(x, layer.weight[..., None, None], layer.bias)
    torch.testing.assert_close(layer(x), pixels)


@pytest.mark.parametrize("sizes", [(None, None), (5, None), (None, 3)])
def test_a_size_left_out_leaves_it_unbuilt_until_build(sizes: tuple[int | None, ...]) -> None:
    layer = ProbedLinear(*sizes)
    assert not list(layer.parameters())
    with pytest.raises(RuntimeError, match=r"no size yet.*build\(\)"):
        layer(torch.ones(1, 5))
    layer.build(5, 3)
    assert layer(torch.ones(1, 5)).shape == (1, 3)
    assert repr(layer) == "ProbedLinear(in_features=5, out_features=3)"


def test_build_keeps_weights_that_fit() -> None:
    layer = ProbedLinear(5, 3)
    weight = layer.weight
    layer.build(5, 3)
    assert layer.weight is weight


@pytest.mark.parametrize("sizes", [(5, 3), (5, None), (None, 3)])
def test_build_refuses_other_sizes_and_changes_nothing(sizes: tuple[int | None, ...]) -> None:
    layer = ProbedLinear(*sizes)
    name, given, need = ("in_features", 5, 6) if sizes[0] else ("out_features", 3, 4)
    with pytest.raises(ValueError, match=f"{name}={given} .* need {need}: set {name}={need}"):
        layer.build(6, 4)
    assert (layer.in_features, layer.out_features) == sizes


def test_features_of_another_width_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"size 6 \(shape \[2, 6\]\) do not fit in_features=5"):
        ProbedLinear(5, 3)(torch.ones(2, 6))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_weights_set_the_precision(dtype: torch.dtype) -> None:
    layer = ProbedLinear(5, 3).to(dtype)
    assert layer(torch.ones(2, 5)).dtype == dtype


def test_gradients() -> None:
    layer = ProbedLinear(5, 3).double()
    x = torch.randn(2, 5, 2, requires_grad=True, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v, *_: layer(v), (x, *layer.parameters()))
