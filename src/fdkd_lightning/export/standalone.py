"""A module's student, made ready to leave."""

import copy
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from fdkd_lightning.export.base import (
    Deployed,
    ExportError,
    Student,
    class_path,
    named_tensors,
    signature,
)
from fdkd_lightning.models.pretrained import DeferredModel, PretrainedModel
from fdkd_lightning.training.unimodal import UnimodalModule


def prepare(
    module: nn.Module,
    example: Any,
    modality: str | None,
    spec: Mapping[str, Any] | None,
    transform: nn.Module | None,
    class_names: Sequence[str],
    meaning: str,
) -> Student:
    """The student of a module, and what there is to say of it.

    Args:
        module: As in :func:`~fdkd_lightning.export_student`, as the others.
        example: What the graphs take.
        modality: What it is called.
        spec: Class path and arguments of the network.
        transform: Begins the graphs.
        class_names: K names.
        meaning: What the example is.
    """
    own, spec = _unwrapped(module, spec)
    if modality is None and isinstance(module, UnimodalModule):
        modality = module.modality
    # As stored it may be bfloat16, on a device, in train mode.
    network = _own(own).float().requires_grad_(False)
    if transform is not None:
        transform = _own(transform)
    example = apply_to_collection(example, Tensor, _widen)
    sizes = {len(x) for x in named_tensors(example, modality or "input").values()}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ExportError(
            f"the example holds {sorted(sizes)} samples: give two or more, as many of each tensor"
        )
    inputs = example
    if transform is not None:
        with torch.no_grad():
            inputs = transform(example)
    if spec is not None and isinstance(network, DeferredModel):
        arguments = {**(spec.get("init_args") or {}), **network.self_contained()}
        spec = {**spec, "init_args": arguments}
    with torch.no_grad():
        outputs = Deployed(network)(inputs)
    # With a transform the words are of what it takes.
    made = (
        meaning if transform is None else f"what {class_path(transform)} makes of {meaning or 'it'}"
    )
    named = len(class_names) == outputs["logits"].shape[1]
    config = {
        "network": None if spec is None else dict(spec),
        "modality": modality,
        "inputs": {"tensors": signature(inputs, modality or "input"), "meaning": made},
        "graph_inputs": None,
        "outputs": signature(outputs, ""),
        "class_names": list(class_names) if named else None,
        "fdkd_lightning": importlib.metadata.version("fdkd_lightning"),
    }
    return Student(network, inputs, transform, example, meaning, config)


def _unwrapped(
    module: nn.Module, spec: Mapping[str, Any] | None
) -> tuple[nn.Module, Mapping[str, Any] | None]:
    """The network without what reads its first weights, and how it is built."""
    network = module.model if isinstance(module, UnimodalModule) else module
    while isinstance(network, PretrainedModel):
        network = network.model
        spec = None if spec is None else spec["init_args"]["model"]
    return network, spec


def _own(module: nn.Module) -> nn.Module:
    """A copy on the CPU, in eval mode, whose tensors are no views of larger ones."""
    copied = copy.deepcopy(module).cpu().eval()
    for tensor in (*copied.parameters(), *copied.buffers()):
        tensor.data = tensor.data.clone()
    return copied


def _widen(x: Tensor) -> Tensor:
    return x.detach().cpu().float() if x.is_floating_point() else x.detach().cpu()
