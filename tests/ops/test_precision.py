import torch
from torch import nn

from fdkd_lightning.ops.precision import at_least_float32, cast_to_model_dtype


def test_fractions_take_the_networks_type_and_whole_numbers_stay() -> None:
    x = {"a": torch.zeros(2), "b": [torch.zeros(2, dtype=torch.float64), torch.tensor([True])]}
    found = cast_to_model_dtype(nn.Linear(1, 1).bfloat16(), x)
    assert found["a"].dtype == found["b"][0].dtype == torch.bfloat16
    assert found["b"][1].dtype == torch.bool
    assert x["a"].dtype == torch.float32


def test_what_is_of_the_type_is_not_copied() -> None:
    x = torch.zeros(2)
    assert cast_to_model_dtype(nn.Linear(1, 1), x) is x


def test_a_network_without_fractions_takes_what_there_is() -> None:
    x = torch.zeros(2, dtype=torch.float64)
    assert cast_to_model_dtype(nn.Flatten(), x) is x


def test_half_precision_becomes_float32_and_wider_types_stay() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert at_least_float32(torch.zeros(1, dtype=dtype)).dtype == torch.float32
    x = torch.zeros(1, dtype=torch.float64)
    assert at_least_float32(x) is x
