from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.export.base import Student
from fdkd_lightning.export.lengths import try_lengths
from fdkd_lightning.export.standalone import make_standalone
from fdkd_lightning.export.torch_export import inputs_of, run_graph, trace, write_graph
from fdkd_lightning.types import Output


def ready(network: nn.Module, example: Any, modality: str = "visual") -> Student:
    return make_standalone(network, example, modality, None, None, (), "")


class Mean(nn.Module):
    """A network for any length; its mean and largest are features."""

    def forward(self, x: Any) -> Output:
        x = x["a"] if isinstance(x, dict) else x
        features = torch.stack([x.mean(1), x.amax(1)], 1)
        return Output(features, 2 * features)


class FromFour(Mean):
    def forward(self, x: Any) -> Output:
        if x.shape[1] < 4:
            raise ValueError("too short")
        return super().forward(x)


def file(takes: Callable[[int], bool], error: float = 0.0) -> Any:
    """The file of a graph of Mean, which runs where a length is taken."""

    def run(x: Any) -> dict[str, Tensor]:
        length = (x["a"] if isinstance(x, dict) else x).shape[1]
        if not takes(length):
            raise RuntimeError("Guard failed")
        output = Mean()(x)
        return {"logits": output.logits + error * (length != 20), "features": output.features}

    return run


def tried(
    found: Any, least: int = 2, most: int | None = None, network: nn.Module | None = None
) -> Any:
    student = ready(network or Mean(), torch.rand(2, 20), "audio")
    limits, difference = try_lengths("onnx", found, student, {"audio": {"min": least, "max": most}})
    assert [*limits] == ["audio"]
    return limits["audio"], difference


def test_a_file_that_runs_keeps_the_tracers_limits_and_lists_the_lengths() -> None:
    limits, difference = tried(file(lambda n: True))
    assert limits == {"min": 2, "max": None, "tried": [2, 3, 19, 20, 21, 41]}
    assert difference == 0
    limits, _ = tried(file(lambda n: n <= 512), most=512)
    assert (limits["min"], limits["max"], limits["tried"][-1]) == (2, 512, 512)
    # The square of this would be much to attend to.
    limits, _ = tried(file(lambda n: True), most=100_000)
    assert (limits["max"], limits["tried"][-1]) == (100_000, 41)


@pytest.mark.parametrize("least", [3, 10, 19, 20])
def test_the_least_is_raised_to_what_runs(least: int) -> None:
    limits, _ = tried(file(lambda n: n >= least))
    assert limits["min"] == least
    assert limits["max"] is None
    assert {least, 20, 41} <= {*limits["tried"]}
    assert min(limits["tried"]) == least


@pytest.mark.parametrize("most", [20, 21, 33, 40])
def test_the_largest_is_lowered_to_what_runs(most: int) -> None:
    for stated in (None, 64):
        limits, _ = tried(file(lambda n: n <= most), most=stated)
        assert (limits["min"], limits["max"]) == (2, most)
        assert max(limits["tried"]) == most


def test_what_the_network_itself_does_not_take_is_not_promised() -> None:
    limits, _ = tried(file(lambda n: True), network=FromFour())
    assert limits["min"] == 4


def test_lengths_with_gaps_are_not_promised() -> None:
    limits, _ = tried(file(lambda n: n % 2 == 0))
    assert limits == {"min": 20, "max": 20, "tried": [20]}


def test_other_lengths_are_held_against_the_network() -> None:
    limits, _ = tried(file(lambda n: True, error=1.0))
    assert (limits["min"], limits["max"]) == (20, 20)
    limits, difference = tried(file(lambda n: True, error=5e-6))
    assert limits["min"] == 2
    assert difference == pytest.approx(5e-6, rel=0.1)


def test_sequences_of_one_length_vary_together_and_others_not_at_all() -> None:
    x = {"a": torch.rand(2, 20), "b": torch.rand(2, 20), "image": torch.rand(2, 3, 4, 4)}
    seen: list[list[int]] = []

    def run(x: Any) -> Any:
        seen.append([tensor.shape[1] for tensor in x.values()])
        return file(lambda n: True)(x)

    traced = {"a": {"min": 2, "max": None}, "b": {"min": 5, "max": 30}}
    limits, _ = try_lengths("onnx", run, ready(Mean(), x), traced)
    assert limits["a"] == limits["b"]
    assert (limits["a"]["min"], limits["a"]["max"]) == (5, 30)
    assert seen == [[n, n, 3] for n, _, _ in seen]
    x["b"] = x["b"][:, :7]
    limits, _ = try_lengths("onnx", run, ready(Mean(), x), traced)
    assert {name: entry["tried"] for name, entry in limits.items()} == {"a": [20], "b": [7]}


class Strided(nn.Module):
    """A network whose map has one column only, of which the tracer takes another course."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 4, 9, stride=64, padding=4)
        self.stage = nn.Conv1d(4, 4, 3, stride=8, padding=1)

    def forward(self, x: Tensor) -> Output:
        features = self.stage(self.stem(x.unsqueeze(1)).relu()).mean(2)
        return Output(features, 2 * features)


def test_a_graph_with_guards_that_the_tracer_does_not_report_runs_at_its_limits(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    network = Strided()
    student = ready(network, torch.randn(2, 1500), "audio")
    program = trace(student)
    traced = {"audio": inputs_of(student, program)["tensors"]["audio"]["L"]}
    graph = run_graph(write_graph(program, tmp_path))
    limits, _ = try_lengths("torch_export", graph, student, traced)
    least = limits["audio"]["min"]
    # 1 + (L - 1) // 64 columns after the stem, of which 9 leave two.
    assert traced["audio"]["min"] < least == 513
    for length in (least, 7001):
        x = torch.randn(3, length)
        with torch.no_grad():
            torch.testing.assert_close(graph(x)["logits"], network(x).logits)
    with pytest.raises(AssertionError, match="Guard failed"):
        graph(torch.randn(3, least - 1))
