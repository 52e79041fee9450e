"""A teacher cache of one batch's outputs, which stands for that of the whole data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fdkd_lightning.training.cache.cache_store import (
    Manifest,
    TensorSpec,
    describe_shards,
    write_manifest,
)
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.cache.shard import write_shard
from fdkd_lightning.types import Output


class StandInCache(CachedTeacher):
    """A ``CachedTeacher`` that has a row for any id, to measure what reading costs.

    Args:
        folder: Folder that :func:`write_stand_in` has written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "stand-in")

    def load(self) -> None:
        """Do nothing: it is of no particular network."""

    def _rows(self, index: Any) -> NDArray[np.int64]:
        count = sum(shard.rows for shard in self.store.shards)
        rows: NDArray[np.int64] = index.cpu().numpy().astype(np.int64) % count
        return rows


def write_stand_in(folder: Path, output: Output, maps: bool) -> StandInCache:
    """Write a cache of a batch's outputs.

    Args:
        folder: A folder that does not exist yet.
        output: A teacher's output.
        maps: Store its maps too.

    Example:
        >>> import tempfile, torch
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> cached = write_stand_in(Path(tempfile.mkdtemp()) / "audio", output, maps=False)
        >>> cached(torch.tensor([700, 5, 5])).features.shape
        torch.Size([3, 8])
    """
    folder.mkdir(parents=True)
    named = {"features": output.features, "logits": output.logits}
    if maps:
        named |= {f"map.{i}": stage for i, stage in enumerate(output.maps)}
    arrays = {name: x.detach().float().cpu().numpy() for name, x in named.items()}
    index = np.arange(len(output.features))
    path = folder / "shard-00000.safetensors"
    keys, present = np.zeros((len(index), 2), np.int64), np.ones(len(index), np.uint8)
    write_shard(path, arrays, index, keys, present, {"view": 0})
    tensors = {
        name: TensorSpec(x.shape[1:], "float32", str(named[name].dtype).removeprefix("torch."))
        for name, x in arrays.items()
    }
    shards = describe_shards([path])
    write_manifest(folder, Manifest({}, tensors, ("train",), 0, False, False, (), shards))
    return StandInCache(folder)


def row_bytes(output: Output, maps: bool) -> int:
    """Return the bytes of a sample's row in float32.

    Example:
        >>> import torch
        >>> row_bytes(Output(torch.ones(2, 8), torch.zeros(2, 3)), maps=False)
        44
    """
    stored = (output.features, output.logits, *(output.maps if maps else ()))
    return sum(4 * x[0].numel() for x in stored)


class LastOutput:
    """Keep the last output of a module, for a stand-in.

    Args:
        module: The module; a forward hook is registered.
    """

    def __init__(self, module: nn.Module) -> None:
        self.output: Output | None = None
        self.remove: Callable[[], None] = module.register_forward_hook(self._keep).remove

    def _keep(self, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Output):
            self.output = output
