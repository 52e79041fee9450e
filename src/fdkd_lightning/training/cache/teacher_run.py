"""Run a teacher on batches as training would, and turn its outputs into rows to store."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from torch import Tensor, nn

from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.cache.cache_store import EVALUATION
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.shard import Arrays
from fdkd_lightning.training.cache.top_logits import LOGITS, top_logits
from fdkd_lightning.training.probe import as_output, modality_input
from fdkd_lightning.training.run_network import run_network
from fdkd_lightning.types import Batch, Output

TRUE_DTYPES = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}


class Rows(NamedTuple):
    """Rows to store.

    Args:
        outputs: Name -> stored output.
        ids: Ids of the samples.
        present: Whether each has the teacher's modality.
        computed: Name -> dtype of the teacher's output.
        optional: Whether the batch says which samples have the modality.
        classes: Number of classes of which the largest logits are stored; 0: all are.

    Shape:
        - outputs[name]: [N, ...]
        - ids, present: [N]
    """

    outputs: Arrays
    ids: NDArray[np.int64]
    present: NDArray[np.uint8]
    computed: dict[str, str]
    optional: bool
    classes: int


class TeacherRun:
    """Run a teacher on batches as training would: precision, device, transforms, evaluation.

    Args:
        network: The teacher, loaded.
        modality: Its modality.
        data: The data module, whose hooks prepare a batch.
        trainer: Its precision and device count.
        settings: What is stored.
        read: Returns modalities, ``index`` and ``present`` of a batch.
    """

    def __init__(
        self,
        network: nn.Module,
        modality: str,
        data: LightningDataModule,
        trainer: Trainer,
        settings: TeacherCache,
        read: Callable[[Any], Batch],
    ) -> None:
        self.network = network
        self.modality = modality
        self.data = data
        self.trainer = trainer
        self.settings = settings
        self.read = read
        self.device = trainer.strategy.root_device

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Move the teacher to the device, freeze it, and attach the trainer to the data module."""
        dtype = TRUE_DTYPES.get(str(self.trainer.precision))
        given, attached = self.network, self.data.trainer
        if dtype is not None:
            # The weights that were hashed stay as they are.
            self.network = copy.deepcopy(given)
        self.network.requires_grad_(False).eval().to(device=self.device, dtype=dtype)
        self.data.trainer = self.trainer
        try:
            yield
        finally:
            self.data.trainer = attached
            self.network = given.to(torch.device("cpu"))

    def input(self, batch: Any, view: int, seed: int = 0) -> Batch:
        """Return a batch on the device, transformed as in evaluation or for a training view."""
        state = self.trainer.state
        stage, data = state.stage, self.data
        state.stage = RunningStage.VALIDATING if view == EVALUATION else RunningStage.TRAINING
        try:
            # A training view is the same whichever process makes it.
            with nullcontext() if view == EVALUATION else isolate_rng():
                if view != EVALUATION:
                    torch.manual_seed(seed)
                batch = self.trainer.precision_plugin.convert_input(batch)
                batch = data.on_before_batch_transfer(batch, 0)
                batch = data.transfer_batch_to_device(batch, self.device, 0)
                return self.read(data.on_after_batch_transfer(batch, 0))
        finally:
            state.stage = stage

    @torch.no_grad()
    def __call__(self, batch: Any, view: int, seed: int) -> Rows:
        """Return the rows of a batch."""
        samples = self.input(batch, view, seed)
        if "index" not in samples:
            raise KeyError(
                "the batch holds no 'index', by which outputs are stored: let the data give each "
                "sample an id that is unique in the whole data set"
            )
        x = cast_to_model_dtype(self.network, modality_input(samples, self.modality))
        with self.trainer.precision_plugin.forward_context():
            output = as_output(run_network(self.network, x))
        index = samples["index"].cpu().numpy().astype(np.int64)
        present = samples.get("present", {}).get(self.modality)
        mask = torch.ones(len(index), dtype=torch.bool) if present is None else present.cpu().bool()
        named, classes = _named(output, self.settings.maps), 0
        if self.settings.top_k:
            classes = output.logits.shape[1]
            top = top_logits(named.pop(LOGITS).float(), self.settings.top_k)
            named |= {f"{LOGITS}.{name}": part for name, part in top._asdict().items()}
        stored = {name: self._stored(name, x, mask, index) for name, x in named.items()}
        computed = {name: str(x.dtype).removeprefix("torch.") for name, x in named.items()}
        flags = mask.numpy().astype(np.uint8)
        return Rows(stored, index, flags, computed, present is not None, classes)

    def _stored(self, name: str, x: Tensor, mask: Tensor, index: NDArray[np.int64]) -> NDArray[Any]:
        what = f"the {self.modality} teacher's {name}"
        if len(x) != len(index):
            raise ValueError(f"{what} have shape {list(x.shape)} for {len(index)} samples")
        if x.dtype == torch.float64:
            raise ValueError(f"{what} are of float64, which is not stored: use a precision of 32")
        if not x.is_floating_point():
            return x.cpu().int().numpy()
        x = x.cpu().float()
        narrow = x.to(getattr(torch, self.settings.dtype))
        lost = torch.isnan(narrow) | (torch.isinf(narrow) & ~(torch.isinf(x) & (x < 0)))
        if name.partition(".")[0] != LOGITS:  # of which -inf masks a class
            lost |= torch.isinf(narrow)
        # Samples without the modality have no meaning.
        bad = lost.flatten(1).any(1) & mask
        if bad.any():
            first = int(bad.nonzero()[0])
            too_large = x[first][torch.isinf(narrow[first]) & torch.isfinite(x[first])]
            if len(too_large):
                raise ValueError(
                    f"{what} of sample {index[first]} reach {too_large.abs().max():.4g}, beyond "
                    f"{self.settings.dtype}: store dtype=float32"
                )
            raise ValueError(
                f"{what} of sample {index[first]} are NaN or infinite: check its weights, its "
                "input's scale and the precision"
            )
        return narrow.numpy()


def _named(output: Output, maps: bool) -> dict[str, Tensor]:
    named = {"features": output.features, LOGITS: output.logits}
    if maps:
        named |= {f"map.{i}": stage for i, stage in enumerate(output.maps)}
    return named
