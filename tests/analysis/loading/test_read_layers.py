from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from made_up_pairs import ROWS, Data, Incomplete
from torch import Tensor, nn

from fdkd_lightning.analysis.loading.read_layers import outermost_layers, read_layers
from fdkd_lightning.types import Output


class Convolutions(nn.Module):
    """A sequence network, and a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 3, 1)
        self.act = nn.ReLU()
        self.unused = nn.Linear(4, 4)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Output:
        features = self.act(self.conv(x[:, None])).mean(-1)
        return Output(features, self.fc(features))


class Frames(nn.Module):
    """Two frames a sample, folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Output:
        logits = self.second(self.first(x.reshape(-1, 2))).reshape(len(x), 2, 3).mean(1)
        return Output(logits, logits)


def test_layers_that_run_are_averaged_over_positions(trainer: Trainer, data: Data) -> None:
    network = nn.Sequential(Convolutions()).eval()
    found = read_layers(data, {"student": ("visual", network)}, {}, ROWS, trainer)["student"]
    assert {name: x.shape[1] for name, x in found.items()} == {"0.conv": 3, "0.act": 3, "0.fc": 2}
    x = torch.stack([data.datasets["val"][i]["visual"] for i in range(ROWS)])
    with torch.no_grad():
        expected = network[0](x)
    torch.testing.assert_close(found["0.act"], expected.features)
    torch.testing.assert_close(found["0.fc"], expected.logits)
    # The hooks are gone.
    assert not any(part._forward_hooks for part in network.modules())


def test_frames_are_averaged(trainer: Trainer, data: Data) -> None:
    network = Frames().eval()
    found = read_layers(data, {"student": ("visual", network)}, {}, 10, trainer)["student"]
    x = torch.stack([data.datasets["val"][i]["visual"] for i in range(10)])
    torch.testing.assert_close(found["first"], (x[:, :2] + x[:, 2:]) / 2)


def test_rows_of_all_networks_are_the_same_pairs(trainer: Trainer) -> None:
    data = Incomplete(batch_size=7)
    data.setup("fit")
    networks = {name: (name, nn.Sequential(Frames()).eval()) for name in ("audio", "visual")}
    patterns = {name: ["0.first:input"] for name in networks}
    found = read_layers(data, networks, patterns, 20, trainer)
    # Every second sample lacks audio.
    for name in networks:
        x = torch.stack([data.datasets["val"][2 * i][name] for i in range(20)])
        torch.testing.assert_close(found[name]["0.first:input"], (x[:, :2] + x[:, 2:]) / 2)


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("unused", RuntimeError, "layer 'unused' did not run"),
        ("layer9", ValueError, "layers='layer9' is no layer of Convolutions"),
    ],
)
def test_a_layer_that_was_named_must_run(
    trainer: Trainer, data: Data, pattern: str, error: Any, message: str
) -> None:
    networks = {"student": ("visual", Convolutions().eval())}
    with pytest.raises(error, match=message):
        read_layers(data, networks, {"visual": [pattern]}, ROWS, trainer)


def test_lists_of_layers_are_opened() -> None:
    network = nn.ModuleDict({"stages": nn.ModuleList([nn.ReLU(), nn.ReLU()]), "fc": nn.ReLU()})
    assert outermost_layers(network) == ["stages.0", "stages.1", "fc"]
    assert outermost_layers(nn.Sequential(nn.Linear(2, 2))) == ["0"]
