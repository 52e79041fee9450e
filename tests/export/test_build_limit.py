from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.export import build_limit
from fdkd_lightning.export.build_limit import BuildLimit
from fdkd_lightning.export.rebuild import build_network

WEIGHTS = {"a": torch.ones(1000)}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fdkd_lightning.NgramNet", {"num_classes": 10**12}),
        ("fdkd_lightning.ResNet", {"num_classes": 10**12}),
        ("fdkd_lightning.ResNet", {"num_classes": 3, "layers": [1, 1, 1, 10**9]}),
        ("fdkd_lightning.TimmModel", {"name": "resnet18", "num_classes": 10**11}),
        ("torch.nn.Linear", {"in_features": 10**6, "out_features": 10**6}),
        ("torch.nn.Embedding", {"num_embeddings": 10**12, "embedding_dim": 4}),
        ("torch.nn.BatchNorm1d", {"num_features": 10**12}),
        ("torch.nn.LSTM", {"input_size": 8, "hidden_size": 8, "num_layers": 10**9}),
    ],
)
def test_a_network_far_larger_than_its_weights_is_refused_at_once(
    name: str, arguments: dict[str, Any]
) -> None:
    spec = {"class_path": name, "init_args": arguments}
    with (
        pytest.raises(ValueError, match=r"it has more than .* (numbers|modules)"),
        BuildLimit(WEIGHTS),
    ):
        build_network(spec)


class Tables(nn.Module):
    """Makes tensors as torch's functions can."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        small = torch.ones(10_000)
        match kind:
            case "arange":
                torch.arange(10**12)
            case "repeat":
                small.repeat(10**8)
            case "outer":
                torch.outer(small, small).repeat(100, 1)
            case "eye":
                torch.eye(10**6)
            case "many":
                for i in range(10**9):
                    self.register_buffer(f"b{i}", torch.zeros(2**20), persistent=False)


@pytest.mark.parametrize("kind", ["arange", "repeat", "outer", "eye", "many"])
def test_no_function_makes_more(kind: str) -> None:
    with pytest.raises(ValueError, match="and its weights file has 1,000"), BuildLimit(WEIGHTS):
        Tables(kind)


def test_modules_without_weights_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_limit, "FEW", 30)
    with pytest.raises(ValueError, match="more than 50 modules"), BuildLimit(WEIGHTS):
        nn.Sequential(*(nn.Identity() for _ in range(51)))


def test_within_the_limit_the_network_is_the_same_and_afterwards_there_is_none() -> None:
    def made() -> dict[str, Tensor]:
        torch.manual_seed(0)
        spec = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"num_classes": 4}}
        return build_network(spec).state_dict()

    plain = made()
    with BuildLimit(WEIGHTS):
        limited = made()
    assert plain.keys() == limited.keys()
    assert all(torch.equal(plain[name], limited[name]) for name in plain)
    assert torch.empty(build_limit.FLOOR + 1).numel() == build_limit.FLOOR + 1
