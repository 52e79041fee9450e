"""Base of the online probes: features of student and teachers, collected while they train."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.distributed import gather_objects, gather_rows, sum_over_ranks
from fdkd_lightning.ops.spatial import mean_over_positions
from fdkd_lightning.training.cache.cached_teacher import (
    CachedTeacher,
    teacher_present,
    with_presence,
)
from fdkd_lightning.training.missing_modality import samples_with
from fdkd_lightning.training.probe import as_output, output_target
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output

STUDENT = "student"


class OnlineProbe(Callback, ABC):
    """Base class of callbacks that classify the features of student and teachers as they train.

    Each training batch is learned from after its step, on detached features; each validation logs
    the accuracy on the validation set as ``probe/<name>/student`` and
    ``probe/<name>/<modality> teacher``. Features of maps are averaged over the positions. Samples
    without a label take no part. The student's gradients, random numbers and weights are what they
    are without; what the probe has learned is in the callback's state, so that a resumed run goes
    on with it. Under DDP all ranks learn from the labelled samples of all ranks.

    Each step waits for the device, and a teacher runs on the validation set too.

    Raises:
        TypeError: If the module is not this package's, or its labels are not one class per sample.
        ValueError: If its labels are maps.
    """

    name: ClassVar[str]
    """Name of the probe in the logs."""

    def __init__(self) -> None:
        self._latest: dict[str, Output] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._counts: dict[str, list[Tensor]] = {}

    @abstractmethod
    def learn(self, network: str, features: Tensor, target: Tensor, classes: int) -> None:
        """Learn from labelled samples, the same on all ranks.

        Args:
            network: ``"student"`` or ``"<modality> teacher"``.
            features: Features without gradient.
            target: Their classes.
            classes: K, the number of classes.

        Shape:
            - features: [N, D] float32, N >= 1
            - target: [N] int64
        """

    @abstractmethod
    def classify(self, network: str, features: Tensor) -> Tensor | None:
        """Return the class of each sample; None: nothing has been learned yet.

        Shape:
            - features: [N, D] float32
            - output: [N] int64
        """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the outputs of the networks."""
        self._remove()
        if not isinstance(pl_module, UnimodalModule) or not isinstance(
            pl_module.task, OneClassTask
        ):
            task = getattr(pl_module, "task", None)
            raise TypeError(
                f"{type(self).__name__} needs a UnimodalModule or DistillationModule with one "
                f"class per sample, not {type(pl_module).__name__}"
                f"{f' with {task.title()}' if task is not None else ''}: leave the callback out"
            )
        self._read(STUDENT, pl_module.model)
        for modality, teacher in _teachers(pl_module).items():
            self._read(teacher_name(modality), teacher)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Forget outputs of other batches."""
        self._latest.clear()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Learn from the labelled samples of the batch."""
        teachers = _teachers(pl_module)
        samples = with_presence(teachers, samples_with(batch, pl_module.modality))
        labels = {STUDENT: samples["label"]}
        for modality, teacher in teachers.items():
            present = teacher_present(teacher, samples, modality)
            labels[teacher_name(modality)] = samples["label"][... if present is None else present]
        classes = 0
        for network, target in labels.items():
            output = self._latest.get(network)
            features = pooled(output.features) if output is not None else None
            if network == STUDENT:
                classes = max(gather_objects(0 if output is None else output.logits.shape[1]))
            found = _labelled(features, target)
            if found is not None:
                with torch.enable_grad():
                    self.learn(network, *found, classes)
        self._latest.clear()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count anew."""
        self._counts = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Classify the features of the batch."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        output: Output = outputs["output"]
        self._count(STUDENT, output, output_target(batch, output))
        teachers = _teachers(pl_module)
        for teacher in teachers.values():
            if isinstance(teacher, CachedTeacher) and "val" not in teacher.store.manifest.splits:
                return
        samples = with_presence(teachers, batch)
        with trainer.precision_plugin.forward_context():
            found = teachers(samples) if teachers else {}
        for modality, of_teacher in found.items():
            present = teacher_present(teachers[modality], samples, modality)
            target = samples["label"][... if present is None else present]
            self._count(teacher_name(modality), of_teacher, target)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the accuracies of all ranks."""
        names = dict.fromkeys(name for part in gather_objects([*self._counts]) for name in part)
        for network in names:
            zero = torch.zeros(2, dtype=torch.int64, device=pl_module.device)
            right, labelled = sum_over_ranks(sum(self._counts.get(network, []), zero))
            if labelled:
                key = f"probe/{self.name}/{network}"
                pl_module.log(key, right / labelled, prog_bar=True, sync_dist=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read no more outputs."""
        self._remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: Any) -> None:
        """Read no more outputs."""
        self._remove()

    def _read(self, network: str, module: nn.Module) -> None:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            found = as_output(output)
            self._latest[network] = Output(found.features.detach(), found.logits.detach())

        self._handles.append(module.register_forward_hook(keep))

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._latest.clear()

    def _count(self, network: str, output: Output, target: Tensor) -> None:
        known = target != IGNORE_INDEX
        classes = self.classify(network, pooled(output.features)[known])
        if classes is not None:
            counts = torch.stack([(classes == target[known]).sum(), known.sum()])
            self._counts.setdefault(network, []).append(counts)


def teacher_name(modality: str) -> str:
    """Return the name of a teacher among the networks.

    Example:
        >>> teacher_name("audio")
        'audio teacher'
    """
    return f"{modality} teacher"


def pooled(features: Tensor) -> Tensor:
    """Return one feature vector per sample, in float32.

    Shape:
        - features: [N, D] or [N, D, H, W]
        - output: [N, D]

    Example:
        >>> pooled(torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]]))
        tensor([[2.]])
    """
    return mean_over_positions(features).float() if features.ndim > 2 else features.float()


def _teachers(module: Any) -> Any:
    return getattr(module, "teachers", {})


def _labelled(features: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the labelled samples of all ranks; None: there are none."""
    if target.ndim != 1:
        raise ValueError(
            f"the labels have shape {[*target.shape]}, a map per sample: leave the online probes "
            "out, which classify samples"
        )
    # A rank without samples has no features, and waits with the others.
    width = max(gather_objects(0 if features is None else features.shape[1]))
    if features is None:
        features, target = torch.zeros(0, width, device=target.device), target[:0]
    known = target != IGNORE_INDEX
    rows, labels = gather_rows(features[known]), gather_rows(target[known])
    return (rows, labels) if len(labels) else None
