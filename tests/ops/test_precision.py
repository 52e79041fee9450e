import torch
from torch import nn

from fdkd_lightning.ops.precision import in_type_of


def test_fractions_take_the_networks_type_and_whole_numbers_stay() -> None:
    x = {"a": torch.zeros(2), "b": [torch.zeros(2, dtype=torch.float64), torch.tensor([True])]}
    found = in_type_of(nn.Linear(1, 1).bfloat16(), x)
    assert found["a"].dtype == found["b"][0].dtype == torch.bfloat16
    assert found["b"][1].dtype == torch.bool
    assert x["a"].dtype == torch.float32


def test_what_is_of_the_type_is_not_copied() -> None:
    x = torch.zeros(2)
    assert in_type_of(nn.Linear(1, 1), x) is x


def test_a_network_without_fractions_takes_what_there_is() -> None:
    x = torch.zeros(2, dtype=torch.float64)
    assert in_type_of(nn.Flatten(), x) is x
