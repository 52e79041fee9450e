"""Checks of the callback's arguments, and whether a module and its trainer can be wrapped."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.of_loss import TASKS
from fdkd_lightning.losses.wrapper import flattened
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.ops.checks import check_optional_weights
from fdkd_lightning.training.strategy_check import strategy_names


def check_arguments(teachers: Any, student: Any, task_weight: float | None) -> None:
    """Raise unless the arguments have their types, and the weight its range."""
    if not isinstance(teachers, Mapping):
        kind = type(teachers).__name__
        raise TypeError(f"teachers is a {kind}: give a dict, such as {{'audio': {kind}(...)}}")
    if not isinstance(student, Layers | None):
        raise TypeError(f"student={student!r} must be Layers, such as Layers('fc:input', 'fc')")
    check_optional_weights(task_weight=task_weight)


def check_target_key(
    target: Any, teacher_check_batches: int | None, task_loss: Any, criterion: Any
) -> None:
    """Raise if something needs labels, or their meaning, and ``target`` is None."""
    if target is not None:
        return
    if teacher_check_batches:
        raise ValueError(
            f"teacher_check_batches={teacher_check_batches} measures accuracy, which needs "
            "labels, but target=None: leave one of them out"
        )
    if task_loss is not None or not isinstance(criterion, DistillationLoss):
        return
    for loss in flattened(criterion):
        if loss.tasks() != (Task,):
            fits = [task for task in TASKS if issubclass(task, loss.tasks())]
            raise ValueError(
                f"{type(loss).__name__} is for {' or '.join(task.labels for task in fits)}, and "
                "target=None does not tell whether the module's outputs are: if so, set "
                f"task_loss={' or '.join(f'torch.nn.{task.losses[0].__name__}()' for task in fits)}"
            )


def check_strategy(trainer: Trainer) -> None:
    """Raise unless each rank has the whole module and DDP averages its gradients."""
    kinds = strategy_names(trainer)
    whole = kinds & {"SingleDeviceStrategy", "DDPStrategy"} and "DeepSpeedStrategy" not in kinds
    if not whole:
        own = type(trainer.strategy).__name__
        raise ValueError(
            f"{own} splits the module, and would leave out the parts that DistillationCallback "
            "adds to it: use Trainer(strategy='ddp'), or one device"
        )


def check_signature(module: LightningModule) -> None:
    """Raise if ``training_step`` fetches its batches itself."""
    if is_param_in_hook_signature(module.training_step, "dataloader_iter", explicit=True):
        raise ValueError(
            f"{type(module).__name__}.training_step takes dataloader_iter, which hides its "
            "batches: let it take (batch, batch_idx)"
        )
