import pytest
import torch

from fdkd_lightning.ops.mean import mean, mean_squared_error


def test_they_are_those_of_torch() -> None:
    x, y = torch.randn(2, 5, 7).unbind()
    assert torch.equal(mean(x), x.mean())
    assert torch.equal(mean_squared_error(x, y), torch.nn.functional.mse_loss(x, y))


@pytest.mark.parametrize("function", [mean, lambda x: mean_squared_error(x, x.detach())])
def test_of_nothing_they_are_zero_with_a_gradient(function) -> None:  # type: ignore[no-untyped-def]
    x = torch.zeros(0, 3, requires_grad=True)
    function(x).backward()
    assert function(x).item() == 0
    assert x.grad is not None
