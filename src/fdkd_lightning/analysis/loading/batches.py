"""Batches of a data module outside of Lightning's loops, and the networks' outputs on them."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from fdkd_lightning.analysis.collected import Collector, Split
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.collate import collate
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.missing_modality import present_mask, select
from fdkd_lightning.training.probe import as_output, batch_target, check_target, modality_input
from fdkd_lightning.training.run_network import run_network


def evaluation_batches(
    data: LightningDataModule, split: str, trainer: Trainer, title: str
) -> Iterator[Any]:
    """Yield the transformed batches of ``train`` or ``val``, each sample once, in order.

    Args:
        data: The data module, set up for fit.
        split: ``train`` or ``val``.
        trainer: The trainer, for device and progress bar.
        title: Title of the progress bar.
    """
    for loader in _loaders(data, split):
        for batch in tqdm(loader, title, disable=_is_quiet(trainer), unit="batch"):
            yield _transformed(data, batch, trainer)


def training_batches(
    data: LightningDataModule, count: int, trainer: Trainer, title: str
) -> Iterator[Any]:
    """Yield the first transformed batches of an epoch of training, with its augmentation.

    Args:
        data: The data module, set up for fit.
        count: Most batches.
        trainer: The trainer, for device and progress bar.
        title: Title of the progress bar.
    """
    with _training(data, trainer):
        loader = CombinedLoader(data.train_dataloader(), "max_size_cycle")
        # As in fit: a batch, or a list or dict of those of several loaders.
        batches = (batch for batch, _, _ in iter(loader))
        total = min(count, len(loader))
        chosen = itertools.islice(batches, count)
        for batch in tqdm(chosen, title, total, disable=_is_quiet(trainer), unit="batch"):
            yield _transformed(data, batch, trainer)


@torch.no_grad()
def collect(
    data: LightningDataModule,
    split: str,
    networks: Mapping[str, tuple[str, nn.Module]],
    trainer: Trainer,
) -> Split:
    """Run all networks over a split.

    Args:
        data: The data module, set up for fit.
        split: ``train`` or ``val``.
        networks: Name -> modality and network, in eval mode; ``student`` is the one whose logits
            the labels must fit.
        trainer: The trainer, for device and progress bar.
    """
    collector = Collector(networks)
    for batch in evaluation_batches(data, split, trainer, f"features of {split}"):
        label = batch_target(batch)
        for name, (modality, network) in networks.items():
            x, present = modality_input(batch, modality), present_mask(batch, modality)
            if present is None:
                present = torch.ones(len(label), dtype=torch.bool)
            elif present.any():
                x = select(x, present, modality)
            else:
                continue
            output = as_output(run_network(network, cast_to_model_dtype(network, x)))
            collector.add(name, output, present)
            if name == "student":
                check_target(OneClassTask(), label[present], output.logits)
        collector.end_batch(label)
    return collector.join(data.groups(split) if isinstance(data, MultimodalDataModule) else None)


@contextmanager
def _training(data: LightningDataModule, trainer: Trainer) -> Iterator[None]:
    """Let the data module augment, as it does in training only."""
    before = data.trainer
    data.trainer, trainer.training = trainer, True
    try:
        yield
    finally:
        data.trainer, trainer.training = before, False


def _is_quiet(trainer: Trainer) -> bool:
    return trainer.progress_bar_callback is None


def _transformed(data: LightningDataModule, batch: Any, trainer: Trainer) -> Any:
    device = trainer.strategy.root_device
    moved = move_data_to_device(data.on_before_batch_transfer(batch, 0), device)
    return data.on_after_batch_transfer(moved, 0)


def _loaders(data: LightningDataModule, split: str) -> list[Any]:
    """Loaders of a split; those of our data modules give each sample once, in its first view."""
    if isinstance(data, MultimodalDataModule):
        dataset, size = data.datasets[split], data.eval_batch_size
        return [DataLoader(dataset, size, num_workers=data.num_workers, collate_fn=collate)]
    loaders = data.train_dataloader() if split == "train" else data.val_dataloader()
    return CombinedLoader(loaders, "sequential").flattened
