"""One line about what a fit trains, and what it leaves as it is."""

from collections.abc import Iterable

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.teachers import FrozenTeachers


class NetworkSummary(Callback):
    """Report the trained parameters of each part of a module, and its frozen teachers.

    Example:
        >>> trainer = Trainer(callbacks=[NetworkSummary()], logger=False)
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report once, when all parts have their sizes."""
        rank_zero_info(network_line(pl_module))


def network_line(module: nn.Module) -> str:
    """Return the line.

    Example:
        >>> network_line(nn.Sequential(nn.Linear(999, 2), nn.ReLU()))
        'trained parameters: Linear 2,000'
    """
    parts = [
        f"{type(part).__name__} {count:,}"
        for part in module.children()
        if (count := _size(p for p in part.parameters() if p.requires_grad))
    ]
    line = f"trained parameters: {', '.join(parts) or 'none'}"
    teachers = getattr(module, "teachers", None)
    if not isinstance(teachers, FrozenTeachers) or not teachers:
        return line
    frozen = [
        f"{modality} {_name(teacher)} {_size(teacher.parameters()):,}"
        for modality, teacher in teachers.items()
    ]
    return f"{line}; frozen teachers: {', '.join(frozen)}"


def _name(teacher: nn.Module) -> str:
    return type(teacher.model if isinstance(teacher, PretrainedModel) else teacher).__name__


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
