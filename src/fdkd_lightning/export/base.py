"""What is exported, and how an artefact is held against it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from fdkd_lightning.training.probe import as_output

TOLERANCE = 1e-5
"""The largest difference from the live student, in float32.

Absolute for outputs up to 1, and relative to the largest where they are larger: float32 has seven
digits, and an engine that adds in another order than torch does not keep more.
"""

Run = Callable[[Any], Mapping[str, Tensor]]
"""An artefact in use: input -> ``logits`` and ``features``."""


class ExportError(ValueError):
    """A student that cannot be exported so, or an artefact that is not the student."""


class Deployed(nn.Module):
    """A network, and what stands before it, that returns plain tensors by name.

    Args:
        network: It returns :class:`~fdkd_lightning.types.Output`.
        transform: Makes its input; None: nothing does.

    Shape:
        - x: what the transform or the network takes
        - output: ``logits`` [N, K] or [N, K, H, W], ``features`` [N, D] or [N, D, H, W]
    """

    def __init__(self, network: nn.Module, transform: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.transform = transform

    def forward(self, x: Any) -> dict[str, Tensor]:
        """Logits and features."""
        output = as_output(self.network(x if self.transform is None else self.transform(x)))
        return {"logits": output.logits, "features": output.features}


@dataclass(frozen=True)
class Student:
    """A student that is ready to leave: on the CPU, float32, in eval mode.

    Args:
        network: The network alone.
        example: What the network takes, two samples or more.
        transform: What the graphs begin with; None: with the network.
        graph_example: What the graphs take.
        meaning: What that is, in words.
        config: What ``config.json`` says.
    """

    network: nn.Module
    example: Any
    transform: nn.Module | None
    graph_example: Any
    meaning: str
    config: dict[str, Any]

    @property
    def deployed(self) -> Deployed:
        """The network with what the graphs begin with."""
        return Deployed(self.network, self.transform).eval()

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of what the graphs take."""
        return tuple(named_tensors(self.graph_example, self.config["modality"] or "input"))


@dataclass(frozen=True)
class Artefact:
    """A file that was written, loaded again and compared.

    Args:
        format: Which.
        path: Where it is.
        difference: The largest from the live student's outputs.
        size: Bytes.
    """

    format: str
    path: Path
    difference: float
    size: int

    def __str__(self) -> str:
        return (
            f"{self.format:12}  {self.path}  {self.size / 1e6:.2f} MB  "
            f"largest difference {self.difference:.1e}"
        )


def class_path(thing: object) -> str:
    """The path by which a configuration names the class of something.

    Example:
        >>> class_path(nn.ReLU())
        'torch.nn.modules.activation.ReLU'
    """
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def named_tensors(x: Any, name: str) -> dict[str, Tensor]:
    """The tensors that an input consists of, by name: those of a dict, or the one itself.

    Raises:
        ExportError: If it consists of anything else.
    """
    tensors = {name: x} if isinstance(x, Tensor) else x
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        kind = type(x).__name__ + (f" of {type(x[0]).__name__}" if isinstance(x, list) else "")
        raise ExportError(
            f"the example's {name} is a {kind}: a graph takes a tensor, or a dict of tensors; give "
            "what the data's transform makes of it (without include_transform)"
        )
    return tensors


def signature(x: Any, name: str) -> dict[str, dict[str, Any]]:
    """Name -> shape and type of an input's tensors.

    Example:
        >>> signature(torch.zeros(2, 1, 32, 32), "visual")
        {'visual': {'shape': ['N', 1, 32, 32], 'dtype': 'float32'}}
    """
    return {
        name: {"shape": ["N", *tensor.shape[1:]], "dtype": str(tensor.dtype).split(".")[1]}
        for name, tensor in named_tensors(x, name).items()
    }


def parity(name: str, live: Run, found: Run, inputs: Iterator[Any]) -> float:
    """The largest difference of two networks' outputs over the inputs.

    Raises:
        ExportError: If it is above :data:`TOLERANCE`, or an output is not a number.

    Example:
        >>> double = lambda x: {"logits": 2 * x}
        >>> parity("onnx", double, double, iter([torch.ones(2)]))
        0.0
    """
    largest = 0.0
    for x in inputs:
        sizes = [list(t.shape) for t in named_tensors(x, "input").values()]
        with torch.no_grad():
            want = live(x)
        try:
            with torch.no_grad():
                got = found(x)
        except Exception as error:  # of any engine
            raise ExportError(f"{name} does not run on inputs of shape {sizes}: {error}") from error
        for key, value in want.items():
            if got[key].shape != value.shape:
                raise ExportError(
                    f"{name}: {key} of inputs of shape {sizes} have shape {list(got[key].shape)} "
                    f"instead of {list(value.shape)}"
                )
            difference = float((value - got[key]).abs().max())
            allowed = TOLERANCE * max(1.0, float(value.abs().max()))
            if not difference <= allowed:
                raise ExportError(
                    f"{name}: {key} of inputs of shape {sizes} differ by {difference:.2e} from the "
                    f"live student's, and {allowed:.0e} is allowed: leave {name} out of formats, "
                    "and look for what is random or not traced in the network or transform"
                )
            largest = max(largest, difference)
    return largest


def batches(example: Any) -> Iterator[Any]:
    """The example, a tensor or a dict of them, and batches of one and of five samples from it."""
    yield example
    for size in (1, 5):
        yield apply_to_collection(example, Tensor, _taken, size)


def _taken(x: Tensor, size: int) -> Tensor:
    return x[torch.arange(size) % len(x)]
