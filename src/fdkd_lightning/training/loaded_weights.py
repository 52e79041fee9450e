"""Check a checkpoint's weights and optimizers before a module gets them."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from fdkd_lightning.models.weight_checks import check_numbers, check_weights


def check_optimizer_states(source: str, checkpoint: Mapping[str, Any]) -> None:
    """Raise if an optimizer's state, from which a run is resumed, is NaN or infinite.

    Args:
        source: Where it comes from, for the error: ``ckpt_path='last.ckpt'``.
        checkpoint: A checkpoint of Lightning.

    Raises:
        ValueError: If a moment or another value is; weights would become NaN, or not move at all.

    Example:
        >>> import torch
        >>> state = {"state": {0: {"exp_avg": torch.tensor([0.0, torch.nan])}}}
        >>> check_optimizer_states("ckpt_path='last.ckpt'", {"optimizer_states": [state]})
        Traceback (most recent call last):
        ValueError: ckpt_path='last.ckpt' holds no usable optimizer: exp_avg of parameter 0 is ...
    """
    for optimizer in checkpoint.get("optimizer_states", ()):
        for parameter, values in optimizer.get("state", {}).items():
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if isinstance(value, Tensor) and not value.isfinite().all():
                    raise ValueError(
                        f"{source} holds no usable optimizer: {name} of parameter {parameter} is "
                        "NaN or infinite. The run that wrote it diverged, or the file is damaged: "
                        "resume from an earlier checkpoint, or read its weights alone with "
                        "PretrainedModel"
                    )


class CheckedModule(LightningModule):
    """A LightningModule that refuses weights that do not fit it, or are NaN.

    Lightning loads the weights of every resumed, tested or exported checkpoint through
    :meth:`load_state_dict`.
    """

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the optimizers of a run that is resumed."""
        if self._trainer is not None and self._trainer.state.fn == "fit":
            source = f"ckpt_path={str(self._trainer.ckpt_path)!r}"
            check_optimizer_states(source, checkpoint)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Check weights, then load them.

        Args:
            state_dict: Name -> tensor.
            strict: Whether the names must be the module's.
            assign: Whether to keep the given tensors instead of copying their values.

        Raises:
            ValueError: As :func:`~fdkd_lightning.models.weight_checks.check_weights`; without
                ``strict``, other names and shapes are left to torch.
        """
        # Without a trainer, the property would raise.
        path = None if self._trainer is None else self._trainer.ckpt_path
        source = "the state dict" if path is None else f"ckpt_path={str(path)!r}"
        check = check_weights if strict else check_numbers
        check(source, state_dict, self.state_dict(), type(self).__name__)
        return super().load_state_dict(state_dict, strict, assign)
