"""Check a checkpoint's weights before a module gets them."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule

from fdkd_lightning.models.weight_checks import check_numbers, check_weights


class CheckedModule(LightningModule):
    """A LightningModule that refuses weights that do not fit it, or are NaN.

    Lightning loads the weights of every resumed, tested or exported checkpoint through
    :meth:`load_state_dict`.
    """

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
