"""Regression: each output is a number."""

from typing import Any, ClassVar

from torch import Tensor, nn

from fdkd_lightning.losses.tasks.per_output import PerOutputTask


class RegressionTask(PerOutputTask):
    """Regression: each output is a number, learnt with the squared error unless a loss is given.

    Metrics get the samples (or pixels) of which all K values are known.

    Args:
        loss: Loss of outputs and values; None: ``torch.nn.MSELoss()``.

    Shape:
        - outputs: [N, K], [N, K, H, W] or [N]
        - target: the same, floating-point, NaN where there is no value; [N] or [N, H, W] with a
          single output
        - output: scalar

    Raises:
        TypeError: If the loss has no ``reduction``; by a call, if the target is not floating-point.
        ValueError: If ``reduction`` is not the mean; by a call, if the target does not fit; by
            ``check``, if a value is infinite.

    Example:
        >>> import torch
        >>> target = torch.tensor([1.0, torch.nan, 3.0])
        >>> RegressionTask(nn.L1Loss())(torch.zeros(3, 1), target)  # (1 + 3) / 2
        tensor(2.)
    """

    labels: ClassVar[str] = "numbers"
    outputs: ClassVar[str] = "the predicted numbers"
    criterion: ClassVar[str] = "RegressionKDLoss"
    losses: ClassVar[tuple[type[nn.Module], ...]] = (
        nn.MSELoss,
        nn.HuberLoss,
        nn.SmoothL1Loss,
        nn.L1Loss,
    )
    has_classes: ClassVar[bool] = False

    def __init__(self, loss: nn.Module | None = None) -> None:
        super().__init__(nn.MSELoss() if loss is None else loss)

    def labelled(self, target: Tensor) -> Tensor:
        """Return which entries are not NaN."""
        return ~target.isnan()

    def check_dtype(self, name: str, target: Any) -> None:
        """Raise unless the target is a floating-point tensor."""
        if not isinstance(target, Tensor) or not target.is_floating_point():
            kind = target.dtype if isinstance(target, Tensor) else type(target).__name__
            # -100 may be a value.
            raise TypeError(
                f"{name} is {kind}: give floating-point values, NaN where there is none"
            )

    def check_values(self, name: str, labels: Tensor) -> None:
        """Raise if a value is infinite."""
        infinite = int(labels.isinf().sum())
        if infinite:
            raise ValueError(f"{name} has {infinite} infinite values: give NaN where there is none")

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the outputs, [N, K, ...]."""
        return outputs.unsqueeze(1) if outputs.ndim == 1 else outputs

    def metric_inputs(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and labels of the samples whose labels are all known, [M] or [M, K]."""
        outputs, target = (x.movedim(1, -1) for x in self.paired("target", outputs, target))
        known = self.labelled(target).all(-1)
        outputs, target = outputs[known], target[known].to(outputs.dtype)
        single = outputs.shape[1] == 1
        return (outputs.squeeze(1), target.squeeze(1)) if single else (outputs, target)
