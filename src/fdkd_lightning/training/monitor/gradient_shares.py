"""Share of the student's gradient that each term of the loss has, logged as it trains."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.distillation_step import DistillationStep
from fdkd_lightning.training.strategy_check import strategy_names
from fdkd_lightning.training.trainer_callbacks import trainer_callbacks


class GradientShares(Callback):
    r"""Log which share of the student's gradient each term of the loss has.

    .. math::
        \mathrm{share}_i = \frac{\|\nabla_\theta L_i\|}{\sum_j \|\nabla_\theta L_j\|}

    :math:`\theta` are the student's trained parameters, and each term counts with its weight:
    ``gradient_share/task`` is the task loss, ``gradient_share/low`` the criterion's term ``low``.
    Measured is the first step of an epoch in which all networks run on all ranks, whose shares are
    averaged; there each term has a backward pass of its own. The student learns what it learns
    without the callback, bitwise. Two terms of large shares may pull against each other:
    ``fdkd analyze`` measures that.

    Args:
        every_n_epochs: Measure in every n-th epoch, the first included.

    Raises:
        TypeError: If neither the module nor a callback distils.
        ValueError: If ``every_n_epochs`` is below 1, or the strategy is FSDP.
        RuntimeError: By torch, if the student is compiled so that its backward pass runs once.

    Example:
        >>> trainer = Trainer(callbacks=[GradientShares(every_n_epochs=5)], logger=False)
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        check_range("every_n_epochs", every_n_epochs, 1)
        self.every_n_epochs = every_n_epochs
        self._module: LightningModule | None = None
        self._step: DistillationStep | None = None
        self._is_due = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the step that computes the terms."""
        self._stop()
        found = [pl_module, *trainer_callbacks(trainer)]
        distilling = [x for x in found if isinstance(x, DistillationModule | DistillationCallback)]
        if not distilling:
            raise TypeError(
                f"{type(pl_module).__name__} has no criterion whose terms GradientShares could "
                "measure: leave the callback out, or train a DistillationModule or with "
                "DistillationCallback"
            )
        if "FSDPStrategy" in strategy_names(trainer):
            raise ValueError(
                f"trainer.strategy is {type(trainer.strategy).__name__}, which splits the "
                "parameters: leave GradientShares out, or set strategy to ddp"
            )
        self._module, self._step = pl_module, distilling[0].distillation_step
        self._step.observe = self._measure

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure in this epoch, if it is its turn."""
        self._is_due = trainer.current_epoch % self.every_n_epochs == 0

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch no more."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Watch no more."""
        self._stop()

    def _measure(self, terms: Mapping[str, Tensor], is_complete: bool) -> None:
        if not self._is_due or not all(gather_objects(is_complete)):
            return
        self._is_due = False
        assert self._module is not None
        assert self._step is not None
        # Frozen teachers have no trained parameters.
        trained = [self._step.distiller, self._step.teachers]
        parts = [part for part in trained if isinstance(part, nn.Module)]
        others = {id(p) for part in parts for p in part.parameters()}
        own = [p for p in self._module.parameters() if id(p) not in others]
        parameters = [p for p in own if p.requires_grad]
        norms = torch.stack([_gradient_norm(term, parameters) for term in terms.values()])
        shares = dict(zip(terms, norms / norms.sum(), strict=True))
        self._module.log_dict(
            {f"gradient_share/{name}": share for name, share in shares.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=1,
        )

    def _stop(self) -> None:
        if self._step is not None:
            self._step.observe = None
        self._module = self._step = None


def _gradient_norm(term: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    if not term.requires_grad:
        return torch.zeros((), device=term.device)
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return nn.utils.get_total_norm([g for g in found if g is not None]).to(term.device)
