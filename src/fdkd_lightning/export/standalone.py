"""The student on its own: copied out of its module, ready for export."""

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
from fdkd_lightning.training.run.redaction import redact
from fdkd_lightning.training.unimodal import UnimodalModule


def make_standalone(
    module: nn.Module,
    example: Any,
    modality: str | None,
    spec: Mapping[str, Any] | None,
    transform: nn.Module | None,
    class_names: Sequence[str],
    meaning: str,
) -> Student:
    """Copy the student out of a module, and describe it for ``config.json``.

    Args:
        module: A ``UnimodalModule`` or ``DistillationModule``, or the network itself.
        example: Input of the transform or, without one, of the network: two samples or more.
        modality: Name of the input; None: the module's modality, if it has one.
        spec: Class path and arguments of the network; None: not known.
        transform: First part of the graphs; None: the graphs begin with the network.
        class_names: K names.
        meaning: Description of the example.

    Raises:
        ExportError: If the example is not a tensor or a dict of tensors of one batch size of at
            least 2.
        TypeError: If the network does not return an :class:`~fdkd_lightning.types.Output`.
    """
    network, spec = _unwrapped(module, spec)
    if modality is None and isinstance(module, UnimodalModule):
        modality = module.modality
    # In the module it may be bfloat16, on another device, or in train mode.
    network = _cpu_copy(network).float().requires_grad_(False)
    if transform is not None:
        transform = _cpu_copy(transform)
    example = apply_to_collection(example, Tensor, _to_float32)
    sizes = {len(x) for x in named_tensors(example, modality or "input").values()}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ExportError(
            f"the example has batch sizes {sorted(sizes)}: give two or more samples, as many in "
            "each tensor"
        )
    inputs, inputs_meaning = example, meaning
    if transform is not None:
        with torch.no_grad():
            inputs = transform(example)
        inputs_meaning = f"output of {class_path(transform)} for {meaning or 'the example'}"
    if spec is not None and isinstance(network, DeferredModel):
        arguments = {**(spec.get("init_args") or {}), **network.self_contained()}
        spec = {**spec, "init_args": arguments}
    with torch.no_grad():
        outputs = Deployed(network)(inputs)
    task = module.task if isinstance(module, UnimodalModule) else None
    named = outputs["logits"].shape[1:2] == (len(class_names),)
    named = named and (task is None or task.has_classes)
    published: dict[str, Any] = {
        "network": None if spec is None else dict(spec),
        "modality": modality,
        "inputs": {
            "tensors": signature(inputs, modality or "input"),
            "meaning": inputs_meaning,
        },
        "graph_inputs": None,
        "outputs": signature(outputs, ""),
        "task": None,
        "class_names": None,
        "fdkd_lightning": importlib.metadata.version("fdkd_lightning"),
    }
    if task is not None:
        published["task"] = {
            "labels": task.labels,
            "outputs": task.outputs,
            "has_classes": task.has_classes,
        }
    config = redact(published) | {"class_names": list(class_names) if named else None}
    return Student(network, inputs, transform, example, redact(meaning), config)


def _unwrapped(
    module: nn.Module, spec: Mapping[str, Any] | None
) -> tuple[nn.Module, Mapping[str, Any] | None]:
    """The network inside of every PretrainedModel, and its description."""
    network = module.model if isinstance(module, UnimodalModule) else module
    while isinstance(network, PretrainedModel):
        network = network.model
        spec = None if spec is None else spec["init_args"]["model"]
    return network, spec


def _cpu_copy(module: nn.Module) -> nn.Module:
    """A copy in eval mode whose tensors are not views of larger ones."""
    copied = copy.deepcopy(module).cpu().eval()
    for tensor in (*copied.parameters(), *copied.buffers()):
        tensor.data = tensor.data.clone()
    return copied


def _to_float32(x: Tensor) -> Tensor:
    return x.detach().cpu().float() if x.is_floating_point() else x.detach().cpu()
