"""Output sizes measured before training, and checks that models and data fit together."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.first_batch import FirstBatch
from fdkd_lightning.training.run_network import run_network
from fdkd_lightning.types import Batch, Output

KEPT = "fdkd_first_batch"
"""Attribute of the trainer's source of data while the first batch is kept."""


def example_batch(trainer: Trainer) -> Any:
    """Return the transformed first batch of the data that the trainer is about to run on.

    It is on the CPU, and has two samples where any samples make a batch. Random generators are left
    as they were, and training still gets the batch, also from a stream that can be read only once.
    """
    loop = trainer._active_loop
    # Public attributes hold the data only after the modules' setup, which is too late here.
    source: Any = loop._data_source  # type: ignore[union-attr]  # every running loop has it
    first = source.__dict__.get(KEPT)
    if first is None:
        with isolate_rng():
            loaders = source.dataloader()
        first = FirstBatch(loaders, together=trainer.state.fn == "fit")
        if first.loaders is not loaders:
            _give_back(source, first)
    with isolate_rng():
        batch = trainer.lightning_module._on_before_batch_transfer(copy.deepcopy(first.batch))
        moved: Any = trainer.strategy.batch_to_device(batch, torch.device("cpu"))
    return moved


def _give_back(source: Any, first: FirstBatch) -> None:
    """Let the next request for the loaders return those that still give the first batch."""

    def dataloader() -> Any:
        del source.dataloader, source.__dict__[KEPT]
        return first.loaders

    source.dataloader = dataloader
    source.__dict__[KEPT] = first


def probe(model: nn.Module, x: Any) -> Output:
    """Return the model's output in eval mode; leave modes, gradients and RNG as they were."""
    modes = {module: module.training for module in model.modules()}
    x = cast_to_model_dtype(model, x)
    try:
        with isolate_rng(), torch.no_grad():
            return as_output(run_network(model.eval(), x))
    finally:
        # A submodule created by this first forward pass gets the model's mode.
        for module in model.modules():
            module.training = modes.get(module, modes[model])


def output_shapes(output: Output) -> dict[str, Any]:
    """Return an output's shapes as plain lists, which a checkpoint can hold."""
    return {
        "features": list(output.features.shape),
        "logits": list(output.logits.shape),
        "maps": [list(stage.shape) for stage in output.maps],
    }


def output_from_shapes(shapes: dict[str, Any]) -> Output:
    """Return an uninitialised output of the shapes that :func:`output_shapes` returned."""
    return Output(
        torch.empty(shapes["features"]),
        torch.empty(shapes["logits"]),
        tuple(torch.empty(shape) for shape in shapes["maps"]),
    )


def modality_input(batch: Batch, modality: str) -> Any:
    """Return the batch's entry for a modality.

    Raises:
        KeyError: If the batch has no such entry; the message lists its modalities.
        TypeError: If the batch is no dict.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"the batch is a {type(batch).__name__}: let the data's collate_fn return a dict, such "
            "as {'audio': ..., 'label': ...}, or use DistillationCallback, whose keys (target=1, "
            "student_input=0) name entries of tuples"
        )
    if modality not in batch:
        have = ", ".join(sorted(key for key in batch if key not in ("label", "index", "present")))
        raise KeyError(
            f"the batch holds no modality {modality!r}, only: {have}. "
            "Name one of these in the model, or let the data load it: add it to the data's "
            "`modalities`, if it names some, and to PairedManifest's `recipes`"
        )
    return batch[modality]


def batch_target(batch: Batch) -> Tensor:
    """Return the batch's labels."""
    if "label" not in batch:
        raise KeyError(
            "the batch holds no 'label': add it, with -100 for unlabelled samples (NaN, where "
            "labels are numbers)"
        )
    target: Tensor = batch["label"]
    return target


def output_target(batch: Batch, output: Output) -> Tensor:
    """Return the labels of an output's samples: its own where it leaves some of the batch out."""
    return batch_target(batch) if output.label is None else output.label


def as_output(value: Any) -> Output:
    """Return the value if it is an ``Output``."""
    if not isinstance(value, Output):
        raise TypeError(
            f"a model returned {type(value).__name__} instead of fdkd_lightning.Output: wrap it, "
            "FeatureModel(model), or let its forward return Output(features=..., logits=...)"
        )
    return value


def check_output(role: str, output: Output) -> None:
    """Raise if features or logits are not finite.

    Use the first batch only: the check costs a synchronisation. Logits of -inf mask a class.
    """
    for name, values in (("features", output.features), ("logits", output.logits)):
        allowed = torch.isfinite(values)
        if name == "logits" and values.ndim > 1:
            masked = values == -torch.inf
            allowed |= masked & ~masked.all(1, keepdim=True)
        bad = int((~allowed).sum())
        if bad:
            raise ValueError(
                f"{bad} of {values.numel()} values of the {role}'s {name} are NaN or infinite "
                "in the first batch: check its weights, its input's scale and the precision"
            )


def class_names_of(data: Any) -> Sequence[Any]:
    """Return the class names of a data module; none if it has no such attribute, or None."""
    names: Sequence[Any] | None = getattr(data, "class_names", None)
    return () if names is None else names


def check_class_names(trainer: Trainer, classes: int) -> None:
    """Raise if the model has fewer classes than the data module names; warn if it has more.

    Raises:
        ValueError: If it has fewer: labels of the others could be neither learnt nor scored.
    """
    names = class_names_of(getattr(trainer, "datamodule", None))
    if not len(names) or len(names) == classes:
        return
    found = (
        f"the model has num_classes={classes}, but the data names {len(names)} classes "
        f"({', '.join(map(str, names[:5]))}{', ...' if len(names) > 5 else ''}): "
    )
    if classes < len(names):
        raise ValueError(f"{found}set num_classes={len(names)}, or name fewer classes in the data")
    rank_zero_warn(
        f"{found}no sample has the last {classes - len(names)}, and predicting them is always "
        f"wrong; set num_classes={len(names)}"
    )


def check_target(task: Task, target: Any, logits: Tensor) -> None:
    """Raise unless the target holds the task's labels for these outputs.

    Use the first batch only: the check costs a synchronisation.

    Shape:
        - target, logits: as the task has them
    """
    name = "the batch's 'label'"
    by_output = isinstance(target, Tensor) and (
        target.is_floating_point() or target.shape == logits.shape
    )
    if isinstance(task, OneClassTask) and by_output:
        found = target.dtype if target.is_floating_point() else list(target.shape)
        raise TypeError(
            f"{name} is {found}: give an int64 tensor of classes, "
            f"{list(logits.shape[:1] + logits.shape[2:])}; or "
            "task_loss=BCEWithLogitsLoss() for independent labels, MSELoss() for numbers"
        )
    task.check(name, target, logits)
