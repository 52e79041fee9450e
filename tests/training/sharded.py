"""FSDP on the CPU, which torch supports and Lightning does not offer."""

from typing import Any

import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel


class FSDPOnCPU(FSDPStrategy):
    """Lightning's strategy, with the device that it would take from a GPU's number."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(process_group_backend="gloo", **settings)

    @property
    def root_device(self) -> torch.device:
        return torch.device("cpu")

    def _setup_model(self, model: nn.Module) -> nn.Module:
        return FullyShardedDataParallel(model, device_id=self.root_device, **self.kwargs)
