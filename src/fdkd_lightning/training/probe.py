"""What must be known of models and data before training: sizes, and that they fit together."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output


def example_batch(trainer: Trainer) -> Batch:
    """Two samples of the data that the trainer is about to run on, transformed, on the CPU.

    No random generator is moved and no worker is started, so that a probe leaves a run as it was.
    """
    loop = trainer._active_loop
    # The loops tell their data only after the modules' setup, where it is needed here: hence what
    # is private, and not annotated.
    source = loop._data_source  # type: ignore[union-attr]  # of each loop that runs
    with isolate_rng():
        batch = two_samples(source.dataloader(), together=trainer.state.fn == "fit")
        batch = trainer.lightning_module._on_before_batch_transfer(batch)
        moved: Batch = trainer.strategy.batch_to_device(batch, torch.device("cpu"))
    return moved


def two_samples(loaders: Any, together: bool = False) -> Any:
    """The first two samples, the same one twice if need be.

    Of a loader whose samples have no number it is the first batch.

    Args:
        loaders: A loader, or several in a dict, list or ``CombinedLoader``.
        together: Whether several give one batch in the form that they are in, as in training;
            else it is the first loader's.
    """
    if together:
        loaders = getattr(loaders, "iterables", loaders)  # of a CombinedLoader
        if isinstance(loaders, Mapping):
            return {name: two_samples(loader, together) for name, loader in loaders.items()}
        if isinstance(loaders, list | tuple):
            return [two_samples(loader, together) for loader in loaders]
    loader = CombinedLoader(loaders, "sequential").flattened[0]
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return next(iter(loader))
    size = len(loader.dataset)  # type: ignore[arg-type]  # has a length if not iterable
    return loader.collate_fn([loader.dataset[i % size] for i in range(2)])


def probe(model: nn.Module, x: Any) -> Output:
    """The model's output for ``x`` in eval mode, without a trace in modes, gradients or RNG."""
    modes = {module: module.training for module in model.modules()}
    x = cast_to_model_dtype(model, x)
    try:
        with isolate_rng(), torch.no_grad():
            return as_output(model.eval()(x))
    finally:
        # A part that the first use built takes the whole's mode.
        for module in model.modules():
            module.training = modes.get(module, modes[model])


def output_shapes(output: Output) -> dict[str, Any]:
    """An output's shapes, in plain numbers that a checkpoint can hold."""
    return {
        "features": list(output.features.shape),
        "logits": list(output.logits.shape),
        "maps": [list(stage.shape) for stage in output.maps],
    }


def output_from_shapes(shapes: dict[str, Any]) -> Output:
    """An output of these shapes, without values."""
    return Output(
        torch.empty(shapes["features"]),
        torch.empty(shapes["logits"]),
        tuple(torch.empty(shape) for shape in shapes["maps"]),
    )


def modality_input(batch: Batch, modality: str) -> Any:
    """The batch's entry for a modality, or an error that names those it has."""
    if modality not in batch:
        have = ", ".join(sorted(key for key in batch if key not in ("label", "index", "present")))
        raise KeyError(
            f"the batch holds no modality {modality!r}, only: {have}. "
            "Name one of these in the model, or add it to the data's `modalities`"
        )
    return batch[modality]


def batch_target(batch: Batch) -> Tensor:
    """The batch's labels, or an error that says how to go without."""
    if "label" not in batch:
        raise KeyError("the batch holds no 'label': give it, -100 for samples without one")
    target: Tensor = batch["label"]
    return target


def as_output(value: Any) -> Output:
    """The value, if it is an Output."""
    if not isinstance(value, Output):
        raise TypeError(
            f"a model returned {type(value).__name__} instead of fdkd_lightning.Output: wrap it, "
            "FeatureModel(model), or let its forward return Output(features=..., logits=...)"
        )
    return value


def check_output(role: str, output: Output) -> None:
    """Raise if features or logits are not finite; for the first batch, not the hot path."""
    for name, values in (("features", output.features), ("logits", output.logits)):
        bad = int((~torch.isfinite(values)).sum())
        if bad:
            raise ValueError(
                f"{bad} of {values.numel()} values of the {role}'s {name} are NaN or infinite "
                "in the first batch: check its weights, its input's scale and the precision"
            )


def check_target(target: Any, logits: Tensor) -> None:
    """Raise if the target is not an integer class of the logits or -100; for the first batch."""
    if not isinstance(target, Tensor) or target.dtype != torch.int64:
        kind = target.dtype if isinstance(target, Tensor) else type(target).__name__
        raise TypeError(f"the batch's 'label' is {kind}: it must be an int64 tensor of classes")
    if target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"the batch's 'label' has shape {list(target.shape)}, which does not fit logits of "
            f"shape {list(logits.shape)}: one class per sample (and pixel) is needed"
        )
    classes = logits.shape[1]
    labels = target[target != IGNORE_INDEX]
    if labels.numel() and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        raise ValueError(
            f"the batch's labels range from {int(labels.min())} to {int(labels.max())}, but the "
            f"model has num_classes={classes} (0..{classes - 1}; -100 means no label): "
            "set num_classes to that of the data"
        )
