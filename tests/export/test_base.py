from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.export.base import (
    Artefact,
    Deployed,
    ExportError,
    batches,
    named_tensors,
    parity,
    signature,
)
from fdkd_lightning.types import Output


class Net(nn.Module):
    def forward(self, x: Tensor) -> Output:
        return Output(x, 2 * x, maps=(x,))


def by(factor: float, shift: float = 0.0) -> Any:
    return lambda x: {"logits": factor * x + shift}


def test_what_is_deployed_gives_plain_tensors_by_name() -> None:
    x = torch.randn(2, 3)
    found = Deployed(Net())(x)
    assert [*found] == ["logits", "features"]
    assert torch.equal(found["logits"], 2 * x)
    assert torch.equal(found["features"], x)
    before = Deployed(Net(), nn.ReLU())(x)
    assert torch.equal(before["features"], x.relu())


def test_a_network_that_returns_something_else_is_named() -> None:
    with pytest.raises(TypeError, match=r"returned Tensor instead of fdkd_lightning.Output"):
        Deployed(nn.Identity())(torch.ones(1))


def test_a_difference_counts_absolutely_up_to_one_and_relative_to_the_largest_above() -> None:
    small, large = torch.tensor([0.5, -1.0]), torch.tensor([0.0, 1000.0])
    assert parity("onnx", by(1), by(1, 5e-6), iter([small])) == pytest.approx(5e-6, rel=0.05)
    with pytest.raises(ExportError, match=r"onnx: logits .*\[2\].* differ by 2.*e-05"):
        parity("onnx", by(1), by(1, 2e-5), iter([small]))
    assert parity("onnx", by(1), by(1, 5e-3), iter([large])) == pytest.approx(5e-3, rel=0.05)
    with pytest.raises(ExportError, match=r"differ by 2.*e-02"):
        parity("onnx", by(1), by(1, 2e-2), iter([large]))


def test_the_largest_difference_of_all_inputs_is_returned() -> None:
    inputs = iter([torch.tensor([0.1]), torch.tensor([0.9]), torch.tensor([0.2])])
    assert parity("onnx", by(1), by(1 + 1e-6), inputs) == pytest.approx(9e-7, rel=0.2)


def test_what_is_no_number_or_of_another_shape_or_does_not_run_is_an_error() -> None:
    def fails(x: Tensor) -> dict[str, Tensor]:
        raise RuntimeError("no such kernel")

    x = torch.ones(2, 3)
    with pytest.raises(ExportError, match=r"torch_export: logits .* differ by nan"):
        parity("torch_export", by(1), by(float("nan")), iter([x]))
    with pytest.raises(ExportError, match=r"have shape \[1, 3\] instead of \[2, 3\]"):
        parity("torch_export", by(1), lambda x: {"logits": x[:1]}, iter([x]))
    with pytest.raises(ExportError, match=r"onnx does not run on .*\[\[2, 3\]\]: no such kernel"):
        parity("onnx", by(1), fails, iter([x]))


def test_other_batches_are_made_of_the_example() -> None:
    x = torch.arange(8).reshape(2, 4)
    sizes = [list(batch.shape) for batch in batches(x)]
    assert sizes == [[2, 4], [1, 4], [5, 4]]
    _, _, five = batches({"a": x, "b": x[:, :1]})
    assert five["a"][:, 0].tolist() == [0, 4, 0, 4, 0]
    assert five["b"].shape == (5, 1)


def test_a_signature_names_shape_and_type() -> None:
    x = {"input_ids": torch.zeros(2, 7, dtype=torch.int64), "weight": torch.zeros(2)}
    assert signature(x, "text") == {
        "input_ids": {"shape": ["N", 7], "dtype": "int64"},
        "weight": {"shape": ["N"], "dtype": "float32"},
    }


@pytest.mark.parametrize(
    ("x", "kind"), [(["a", "b"], "list of str"), ({"a": "b"}, "dict"), (3, "int")]
)
def test_inputs_that_are_no_tensors_are_named(x: Any, kind: str) -> None:
    with pytest.raises(ExportError, match=rf"text is a {kind}, .*without include_transform"):
        named_tensors(x, "text")


def test_an_artefact_tells_its_file_size_and_difference() -> None:
    said = str(Artefact("onnx", Path("export/model.onnx"), 3e-7, 1_250_000))
    assert said.split()[:4] == ["onnx", "export/model.onnx", "1.25", "MB"]
    assert said.endswith("largest difference 3.0e-07")
