"""The student to export, the written files, and the comparison of both."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from fdkd_lightning.training.probe import as_output

TOLERANCE = 1e-5
"""Largest allowed difference between a written file's float32 outputs and the student's.

Absolute for outputs up to 1, relative to the largest for larger ones: float32 has about seven
digits, and engines sum in different orders.
"""

Run = Callable[[Any], Mapping[str, Tensor]]
"""A loaded file: input -> ``logits`` and ``features``."""


class ExportError(ValueError):
    """The student cannot be exported this way, or a written file differs from it."""


class Deployed(nn.Module):
    """A network, after an optional transform, that returns a dict of tensors.

    Shape:
        - x: input of the transform, or of the network
        - output: ``logits`` [N, K] or [N, K, H, W], ``features`` [N, D] or [N, D, H, W]
    """

    def __init__(self, network: nn.Module, transform: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.transform = transform

    def forward(self, x: Any) -> dict[str, Tensor]:
        """Return logits and features."""
        output = as_output(self.network(x if self.transform is None else self.transform(x)))
        return {"logits": output.logits, "features": output.features}


@dataclass(frozen=True)
class Student:
    """A student ready for export: on the CPU, float32, in eval mode.

    Args:
        network: The student's network.
        example: Input of the network, at least two samples.
        transform: First part of the graphs; None: the graphs begin with the network.
        graph_example: Input of the graphs, at least two samples.
        meaning: Description of the graphs' input.
        config: Content of ``config.json``.
    """

    network: nn.Module
    example: Any
    transform: nn.Module | None
    graph_example: Any
    meaning: str
    config: dict[str, Any]

    @property
    def deployed(self) -> Deployed:
        """The module that the graphs are traced from."""
        return Deployed(self.network, self.transform).eval()

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graphs' inputs."""
        return tuple(named_tensors(self.graph_example, self.config["modality"] or "input"))


@dataclass(frozen=True)
class Artefact:
    """A file that was written, loaded again and compared: size in bytes, largest difference."""

    format: str
    path: Path
    difference: float
    size: int

    def __str__(self) -> str:
        return (
            f"{self.format:12}  {self.path}  {self.size / 1e6:.2f} MB  "
            f"largest difference {self.difference:.1e}"
        )


def class_path(instance: object) -> str:
    """Return the path by which a configuration names an object's class."""
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def named_tensors(x: Any, name: str) -> dict[str, Tensor]:
    """Return the tensors of an input by name; a single one is called ``name``.

    Raises:
        ExportError: If the input is anything else.
    """
    tensors = {name: x} if isinstance(x, Tensor) else x
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        kind = type(x).__name__ + (f" of {type(x[0]).__name__}" if isinstance(x, list) else "")
        raise ExportError(
            f"the example's {name} is a {kind}, and a graph takes a tensor or a dict of tensors: "
            "export without include_transform, so that the graph takes the transform's output"
        )
    return tensors


def signature(x: Any, name: str) -> dict[str, dict[str, Any]]:
    """Return name -> shape and dtype of an input's tensors; the batch dimension is ``N``.

    Example:
        >>> signature(torch.zeros(2, 1, 32, 32), "visual")
        {'visual': {'shape': ['N', 1, 32, 32], 'dtype': 'float32'}}
    """
    return {
        name: {"shape": ["N", *tensor.shape[1:]], "dtype": str(tensor.dtype).split(".")[1]}
        for name, tensor in named_tensors(x, name).items()
    }


def parity(name: str, student: Run, loaded: Run, inputs: Iterator[Any]) -> float:
    """Return the largest difference between a loaded file's outputs and the student's.

    Raises:
        ExportError: If the difference exceeds :data:`TOLERANCE` or is NaN, a shape differs, or
            the file does not run on an input.
    """
    largest = 0.0
    for x in inputs:
        sizes = [list(t.shape) for t in named_tensors(x, "input").values()]
        with torch.no_grad():
            expected = student(x)
        try:
            with torch.no_grad():
                outputs = loaded(x)
        except Exception as error:  # of any engine
            raise ExportError(f"{name} does not run on inputs of shape {sizes}: {error}") from error
        for key, value in expected.items():
            if outputs[key].shape != value.shape:
                raise ExportError(
                    f"{name}: {key} for inputs of shape {sizes} have shape "
                    f"{list(outputs[key].shape)} instead of {list(value.shape)}"
                )
            difference = float((value - outputs[key]).abs().max())
            allowed = TOLERANCE * max(1.0, float(value.abs().max()))
            if not difference <= allowed:
                raise ExportError(
                    f"{name}: {key} for inputs of shape {sizes} differ by {difference:.2e} from "
                    f"the student's, and {allowed:.0e} is allowed: leave {name} out of formats, "
                    "or look for operations in the network or transform that are random or that "
                    "the tracer missed"
                )
            largest = max(largest, difference)
    return largest


def batches(example: Any) -> Iterator[Any]:
    """Yield the example, then batches of one and of five of its samples."""
    yield example
    for size in (1, 5):
        yield apply_to_collection(example, Tensor, _cycle, size)


def _cycle(x: Tensor, size: int) -> Tensor:
    return x[torch.arange(size) % len(x)]
