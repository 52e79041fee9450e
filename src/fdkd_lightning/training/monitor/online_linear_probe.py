"""A linear classifier of the features, trained beside the student."""

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.training.monitor.online_probe import OnlineProbe


class OnlineLinearProbe(OnlineProbe):
    r"""Log how well a linear classifier separates the classes by the features.

    .. math:: p = \mathrm{softmax}(W \, \mathrm{standardize}(x) + b)

    It is trained by AdamW, one step per batch with a labelled sample, on features standardised by
    batch norm; it begins at zero. What it reads, and how it logs ``probe/linear/student`` and
    ``probe/linear/audio teacher``, is said at
    :class:`~fdkd_lightning.training.monitor.online_probe.OnlineProbe`.

    Args:
        lr: Learning rate.
        weight_decay: Weight decay.

    Raises:
        TypeError: If the module is not this package's, or its labels are not one class per sample.
        ValueError: If ``lr`` is not positive, ``weight_decay`` is negative, or labels are maps.

    Reference:
        Alain and Bengio, Understanding intermediate layers using linear classifier probes (arXiv
        1610.01644); trained beside the network as in stable-pretraining.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[OnlineLinearProbe(lr=0.01)], logger=False)
    """

    name = "linear"

    def __init__(self, lr: float = 0.01, weight_decay: float = 0.0) -> None:
        super().__init__()
        check_range("lr", lr, above=0)
        check_range("weight_decay", weight_decay, 0)
        self.lr, self.weight_decay = lr, weight_decay
        self._probes: dict[str, nn.Module] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self._restored: dict[str, Any] = {}

    def learn(self, network: str, features: Tensor, target: Tensor, classes: int) -> None:
        """Take a step; batch norm cannot learn from a single sample."""
        if len(target) < 2:
            return
        if network not in self._probes:
            self._make(network, features, classes)
        optimizer = self._optimizers[network]
        loss = F.cross_entropy(self._probes[network].train()(features), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()

    @torch.no_grad()
    def classify(self, network: str, features: Tensor) -> Tensor | None:
        """Return the most probable class."""
        if network not in self._probes:
            return None
        classes: Tensor = self._probes[network].eval()(features).argmax(1)
        return classes

    def state_dict(self) -> dict[str, Any]:
        """Return classifiers and optimizers; what was restored and not used yet is kept."""
        return self._restored | {
            network: {
                "probe": probe.state_dict(),
                "optimizer": self._optimizers[network].state_dict(),
            }
            for network, probe in self._probes.items()
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore classifiers and optimizers when their sizes are known."""
        self._restored = dict(state_dict)
        self._probes, self._optimizers = {}, {}

    def _make(self, network: str, features: Tensor, classes: int) -> None:
        width = features.shape[1]
        with isolate_rng():  # initialisation consumes random numbers
            linear = nn.Linear(width, classes)
        for parameter in linear.parameters():
            nn.init.zeros_(parameter)
        probe = nn.Sequential(nn.BatchNorm1d(width, affine=False), linear).to(features.device)
        optimizer = torch.optim.AdamW(
            linear.parameters(), lr=self.lr, weight_decay=self.weight_decay
        )
        state = self._restored.pop(network, None)
        if state is not None:
            probe.load_state_dict(state["probe"])
            optimizer.load_state_dict(state["optimizer"])
        self._probes[network], self._optimizers[network] = probe, optimizer
