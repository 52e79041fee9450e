"""Checks whether a LightningModule and its trainer can be wrapped."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature


def check_strategy(trainer: Trainer) -> None:
    """Raise unless each rank has the whole module and DDP averages its gradients."""
    strategy = type(trainer.strategy)
    # By name: the packages lightning and pytorch_lightning have classes of the same names.
    kinds = {kind.__name__ for kind in strategy.__mro__}
    whole = kinds & {"SingleDeviceStrategy", "DDPStrategy"} and "DeepSpeedStrategy" not in kinds
    if not whole:
        raise ValueError(
            f"{strategy.__name__} splits the module, and would leave out the parts that "
            "DistillationCallback adds to it: use Trainer(strategy='ddp'), or one device"
        )


def check_signature(module: LightningModule) -> None:
    """Raise if ``training_step`` fetches its batches itself."""
    if is_param_in_hook_signature(module.training_step, "dataloader_iter", explicit=True):
        raise ValueError(
            f"{type(module).__name__}.training_step takes dataloader_iter, which hides its "
            "batches: let it take (batch, batch_idx)"
        )
