"""Output sizes measured before training, and checks that models and data fit together."""

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
    """Return two transformed samples of the data that the trainer is about to run on, on the CPU.

    Random generators are left as they were, and no worker is started.
    """
    loop = trainer._active_loop
    # Public attributes hold the data only after the modules' setup, which is too late here.
    source = loop._data_source  # type: ignore[union-attr]  # every running loop has it
    with isolate_rng():
        batch = two_samples(source.dataloader(), together=trainer.state.fn == "fit")
        batch = trainer.lightning_module._on_before_batch_transfer(batch)
        moved: Batch = trainer.strategy.batch_to_device(batch, torch.device("cpu"))
    return moved


def two_samples(loaders: Any, together: bool = False) -> Any:
    """Return a batch of the first two samples; a data set of one sample gives it twice.

    A loader of an iterable data set gives its first batch.

    Args:
        loaders: A loader, or several in a dict, list or ``CombinedLoader``.
        together: Return the batches of all loaders in the same structure, as in training; else the
            first loader's batch.
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
    """Return the model's output in eval mode; leave modes, gradients and RNG as they were.

    Args:
        model: A network that returns :class:`~fdkd_lightning.Output`.
        x: Its input; floating-point tensors are cast to the model's dtype.

    Raises:
        TypeError: If the model does not return an ``Output``.
    """
    modes = {module: module.training for module in model.modules()}
    x = cast_to_model_dtype(model, x)
    try:
        with isolate_rng(), torch.no_grad():
            return as_output(model.eval()(x))
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
    """
    if modality not in batch:
        have = ", ".join(sorted(key for key in batch if key not in ("label", "index", "present")))
        raise KeyError(
            f"the batch holds no modality {modality!r}, only: {have}. "
            "Name one of these in the model, or add it to the data's `modalities`"
        )
    return batch[modality]


def batch_target(batch: Batch) -> Tensor:
    """Return the batch's labels.

    Raises:
        KeyError: If the batch has none.
    """
    if "label" not in batch:
        raise KeyError("the batch holds no 'label': add it, with -100 for unlabelled samples")
    target: Tensor = batch["label"]
    return target


def as_output(value: Any) -> Output:
    """Return the value if it is an ``Output``.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, Output):
        raise TypeError(
            f"a model returned {type(value).__name__} instead of fdkd_lightning.Output: wrap it, "
            "FeatureModel(model), or let its forward return Output(features=..., logits=...)"
        )
    return value


def check_output(role: str, output: Output) -> None:
    """Raise if features or logits are not finite; -inf in some logits masks their classes.

    Args:
        role: The network's name in the error.
        output: Its output. Use the first batch only: the check costs a sync.

    Raises:
        ValueError: If a value is NaN or infinite.
    """
    for name, values in (("features", output.features), ("logits", output.logits)):
        finite = values.isfinite()
        if name == "logits":
            # A class may be masked, but not all classes of a sample.
            finite = finite | ((values == -torch.inf) & (values > -torch.inf).any(1, keepdim=True))
        bad = int((~finite).sum())
        if bad:
            raise ValueError(
                f"{bad} of {values.numel()} values of the {role}'s {name} are NaN or infinite "
                "in the first batch: check its weights, its input's scale and the precision"
            )


def check_target(target: Any, logits: Tensor) -> None:
    """Raise if the target is not a class of the logits or -100.

    Args:
        target: Labels. Use the first batch only: the check costs a sync.
        logits: The model's logits.

    Shape:
        - target: [N] or [N, H, W] int64
        - logits: [N, K] or [N, K, H, W]

    Raises:
        TypeError: If the target is not an int64 tensor.
        ValueError: If its shape does not fit the logits, or a label is out of range.
    """
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
