"""Outputs of a network's layers over the samples of a split."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, nn

from fdkd_lightning.analysis.loading.batches import evaluation_batches
from fdkd_lightning.models.layer_names import find_layers
from fdkd_lightning.models.layer_reader import LayerReader
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.missing_modality import present_mask, select
from fdkd_lightning.training.probe import batch_target, modality_input
from fdkd_lightning.training.run_network import run_network

LayerOutputs = dict[str, Tensor]
"""Layer -> its outputs [N, D], means over positions."""


@torch.no_grad()
def read_layers(
    data: LightningDataModule,
    networks: Mapping[str, tuple[str, nn.Module]],
    patterns: Mapping[str, Sequence[str]],
    most: int,
    trainer: Trainer,
) -> dict[str, LayerOutputs]:
    """Run networks over the validation split, and return their layers' outputs.

    Only samples that have all the networks' modalities count, so that rows are pairs.

    Args:
        data: The data module, set up for fit.
        networks: Name -> modality and network, in eval mode.
        patterns: Modality -> its layers, as :class:`~fdkd_lightning.models.Layers` names them; of
            a modality that is missing, the outermost layers that give vectors, maps or tokens.
        most: Most samples.
        trainer: The trainer, for device and progress bar.

    Raises:
        ValueError: If a name matches no layer, or no sample has all modalities.
        RuntimeError: If a layer that was named did not run.
    """
    readers = {
        name: _Readers(network, patterns.get(modality))
        for name, (modality, network) in networks.items()
    }
    count = 0
    for batch in evaluation_batches(data, "val", trainer, "layers"):
        kept = _with_all(batch, [modality for modality, _ in networks.values()])
        kept[kept.cumsum(0) > most - count] = False
        count += int(kept.sum())
        if kept.any():
            for name, (modality, network) in networks.items():
                x = select(modality_input(batch, modality), kept, modality)
                readers[name].run(network, cast_to_model_dtype(network, x), int(kept.sum()))
        if count >= most:
            break
    if not count:
        raise ValueError("no sample of the validation split has all modalities: check the data")
    return {name: reader.join() for name, reader in readers.items()}


def outermost_layers(network: nn.Module) -> list[str]:
    """Return the names of the outermost layers: the first level that has several.

    Lists of layers, which never run as a whole, count as their layers.

    Example:
        >>> inner = nn.Sequential(nn.Conv1d(3, 4, 1), nn.ReLU())
        >>> network = nn.ModuleDict({"model": nn.Sequential(inner, nn.Linear(4, 2))})
        >>> outermost_layers(network)
        ['model.0', 'model.1']
    """
    prefix, level = "", network
    while len(children := dict(level.named_children())) == 1:
        [(name, level)] = children.items()
        prefix += f"{name}."
    return [f"{prefix}{name}" for name in _opened(children)] or [prefix.removesuffix(".")]


def _opened(children: Mapping[str, nn.Module]) -> list[str]:
    names = []
    for name, child in children.items():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            names += [f"{name}.{inner}" for inner in _opened(dict(child.named_children()))]
        else:
            names.append(name)
    return names


def _with_all(batch: Any, modalities: Sequence[str]) -> Tensor:
    kept = torch.ones(len(batch_target(batch)), dtype=torch.bool)
    for modality in modalities:
        present = present_mask(batch, modality)
        if present is not None:
            kept &= present.cpu()
    return kept


class _Readers:
    """A reader per layer; without names, layers that give nothing to compare are left out."""

    def __init__(self, network: nn.Module, patterns: Sequence[str] | None) -> None:
        self.is_chosen = patterns is not None
        names = outermost_layers(network) if patterns is None else patterns
        layers = [
            (f"{found.name}{':input' if found.side == 'input' else ''}", found.name)
            for pattern in names
            for found in find_layers(network, pattern, "layers")
        ]
        self.readers: dict[str, LayerReader] = {}
        self.parts: dict[str, list[Tensor]] = {}
        is_sequence = False
        for spot, name in layers:
            parts = [*network.get_submodule(name).modules()]
            if any([*part.parameters(recurse=False)] for part in parts):
                # [N, D, L] and not tokens [N, L, D]; a ReLU has what the layer before it gives.
                is_sequence = any(isinstance(part, nn.Conv1d | nn.BatchNorm1d) for part in parts)
            dim = 1 if is_sequence else None
            arranged = Layers(spot, logits=False, pooling="mean", channel_dim=dim)
            self.readers[spot] = LayerReader(network, arranged)

    def run(self, network: nn.Module, x: Any, rows: int) -> None:
        with ExitStack() as stack:
            for reader in self.readers.values():
                stack.enter_context(reader.reading())
            run_network(network, x)
        padding = x.get("attention_mask") if isinstance(x, Mapping) else None
        for name, reader in [*self.readers.items()]:
            try:
                found = reader.features.read()
                has_tokens = padding is not None and found.shape[:2] == padding.shape
                values = reader.take(mask=padding if has_tokens else None).features
            except (RuntimeError, ValueError):
                if self.is_chosen:
                    raise
                self.readers.pop(name).remove()
                continue
            # Frames are folded into the samples, the frames of a sample side by side.
            values = values.float().reshape(rows, -1, values.shape[1]).mean(1)
            self.parts.setdefault(name, []).append(values.cpu())

    def join(self) -> LayerOutputs:
        for reader in self.readers.values():
            reader.remove()
        return {name: torch.cat(parts) for name, parts in self.parts.items()}
