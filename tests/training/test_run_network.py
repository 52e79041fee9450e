import pytest
import torch
from torch import Tensor, nn

import fdkd_lightning as fdkd
from fdkd_lightning.training.run_network import run_network


class Clips(nn.Module):
    """Takes tensors [N, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def test_clips_of_several_lengths_are_refused_by_networks_that_take_none() -> None:
    clips = [torch.zeros(3, 4), torch.zeros(5, 4)]
    with pytest.raises(
        TypeError, match=r"Clips does not take a list of 2 tensors, .*\[3, 4\], \[5, 4\]"
    ):
        run_network(Clips(), clips)
    # The network's own error is not replaced.
    with pytest.raises(AttributeError, match="'str' object"):
        run_network(Clips(), "text")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_an_input_of_another_type_is_named(dtype: torch.dtype) -> None:
    net = fdkd.ResNet(2, layers=(1, 1, 1, 1), channels=(4, 4, 4, 8))
    for model, x in ((net, torch.zeros(1, 3, 32, 32)), (nn.Linear(4, 2), torch.zeros(1, 4))):
        with pytest.raises(
            TypeError, match=f"weights of torch.float32, but its input is of {dtype} .*let the data"
        ):
            run_network(model, x.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert run_network(nn.Linear(4, 2), torch.zeros(1, 4).bfloat16()).shape == (1, 2)


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as error:
        run_network(nn.Linear(4, 2), torch.zeros(1, 5))
    assert not isinstance(error.value, TypeError)


def test_image_networks_name_whole_numbers() -> None:
    with pytest.raises(ValueError, match=r"x has dtype torch.uint8: .*x.float\(\) / 255"):
        fdkd.ResNet(2)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
