"""Fingerprint of a teacher cache: teacher, data, outputs and versions, and their differences."""

import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor, nn

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.cache.describe import describe, tensor_sum

Fingerprint = dict[str, Any]
"""Name of a part, such as ``teacher.weights``, -> its description."""

PACKAGES = ("fdkd_lightning", "torch", "torchaudio", "torchvision", "timm", "transformers")
DIGITS = 16


class StaleCacheError(ValueError):
    """A teacher cache was made of something else than what is trained with."""


def teacher_fingerprint(network: nn.Module) -> Fingerprint:
    """Return class, structure and weights of a teacher, which must be loaded.

    A network is the same within a :class:`~fdkd_lightning.PretrainedModel` and without.

    Example:
        >>> a, b = nn.Linear(1, 1), nn.Linear(1, 1)
        >>> differences(teacher_fingerprint(a), teacher_fingerprint(b))[0].partition(":")[0]
        'teacher.weights'
    """
    while isinstance(network, PretrainedModel):
        network = network.model
    return {
        "teacher.class": f"{type(network).__module__}.{type(network).__qualname__}",
        "teacher.structure": hashlib.sha256(repr(network).encode()).hexdigest()[:DIGITS],
        "teacher.weights": tensor_sum(network.state_dict()),
    }


def data_fingerprint(data: LightningDataModule, modality: str, seed_matters: bool) -> Fingerprint:
    """Return class and arguments of a data module that determine a teacher's inputs.

    Arguments about loading, labels and the choice of samples are left out: samples are compared by
    id. Transform and recipe of the modality are there if the data module loads it.

    Args:
        data: The data module.
        modality: The teacher's modality.
        seed_matters: Whether the seed draws training views of the inputs.
    """
    neutral = {*MultimodalDataModule.loading_arguments, *MultimodalDataModule.choice_arguments}
    neutral |= {*getattr(data, "loading_arguments", ()), *getattr(data, "choice_arguments", ())}
    if seed_matters:
        neutral -= {"seed"}
    arguments = {
        name: describe(getattr(data, name))
        for name in inspect.signature(type(data).__init__).parameters
        if name not in neutral and hasattr(data, name)
    }
    found = {
        "data.class": f"{type(data).__module__}.{type(data).__qualname__}",
        "data.arguments": arguments,
    }
    if modality in getattr(data, "modalities", ()):
        transforms = getattr(data, "transforms", {})
        recipes = getattr(data, "recipes", {})
        # A ModuleDict has no get.
        transform = dict(transforms.items()).get(modality)
        found["data.transform"] = describe(transform)
        found["data.recipe"] = describe(recipes.get(modality))
    return found


def version_fingerprint() -> Fingerprint:
    """Return the versions of the packages that a teacher's outputs depend on."""
    return {f"versions.{name}": importlib.metadata.version(name) for name in PACKAGES}


def digest_of(fingerprint: Fingerprint) -> str:
    """Return a fingerprint as 16 hexadecimal digits, for a configuration to record."""
    text = json.dumps(fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def differences(
    cached: Fingerprint, present: Fingerprint, parts: Collection[str] | None = None
) -> list[str]:
    """Describe the parts in which two fingerprints differ.

    Args:
        cached: The cache's.
        present: That of what is trained with.
        parts: The parts to compare; None: those that both have.
    """
    names = cached.keys() & present.keys() if parts is None else parts
    return [
        line
        for name in sorted(names)
        for line in _differences(name, cached.get(name), present.get(name))
    ]


def sample_ids(dataset: Any) -> NDArray[np.int64] | None:
    """Return the ids of a data set's samples, its ``index``; None: it has no such attribute.

    Shape:
        - output: [N]
    """
    index = getattr(dataset, "index", None)
    if isinstance(index, Tensor):
        index = index.numpy()
    return index.astype(np.int64) if isinstance(index, np.ndarray) else None


def sample_keys(dataset: Any, modality: str, positions: Sequence[int]) -> NDArray[np.int64]:
    """Return hashes of samples' names, and of the files or texts that a modality is read from.

    A data set may have them in ``ids`` and ``sources[modality]``; 0 stands for one that has not.

    Shape:
        - output: [N, 2]
    """
    names = getattr(dataset, "ids", None)
    sources = getattr(dataset, "sources", None)
    source = sources.get(modality) if isinstance(sources, Mapping) else None
    keys = np.zeros((len(positions), 2), np.int64)
    for column, texts in enumerate((names, source)):
        if texts is not None:
            keys[:, column] = [_hash(texts[position]) for position in positions]
    return keys


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True) or 1


def _differences(name: str, cached: Any, present: Any) -> list[str]:
    if cached == present:
        return []
    if isinstance(cached, Mapping) and isinstance(present, Mapping):
        keys = sorted({*cached, *present})
        parts = [_differences(f"{name}.{k}", cached.get(k), present.get(k)) for k in keys]
        return [line for part in parts for line in part]
    return [f"{name}: {_short(cached)} in the cache, {_short(present)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:24]}... "
