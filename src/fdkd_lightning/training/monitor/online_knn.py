"""Nearest neighbours of the features among those of the epoch."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_count, check_range
from fdkd_lightning.training.monitor.online_probe import OnlineProbe


class OnlineKNN(OnlineProbe):
    r"""Log how often the nearest training samples of a validation sample have its class.

    .. math:: \hat y = \arg\max_c \sum_{i \in N_k(x)} [y_i = c] \, e^{\cos(x, x_i) / \tau}

    The neighbours are among the latest labelled samples of the epoch, with the features that they
    had when they were trained on. What it reads, and how it logs ``probe/knn/student`` and
    ``probe/knn/audio teacher``, is said at
    :class:`~fdkd_lightning.training.monitor.online_probe.OnlineProbe`.

    Args:
        k: Number of neighbours; with fewer samples, all of them.
        temperature: :math:`\tau`; the smaller, the more the nearest count.
        size: Most samples to keep.

    Raises:
        TypeError: If the module is not this package's, or its labels are not one class per sample.
        ValueError: If an argument is not positive, or labels are maps.

    Reference:
        Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination (arXiv
        1805.01978), equation 8.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[OnlineKNN(k=5)], logger=False)
    """

    name = "knn"

    def __init__(self, k: int = 20, temperature: float = 0.07, size: int = 4096) -> None:
        super().__init__()
        check_count("k", k)
        check_count("size", size)
        check_range("temperature", temperature, above=0, example=0.07)
        self.k, self.temperature, self.size = k, temperature, size
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Forget the features of the epoch before, unless it goes on."""
        if not trainer.fit_loop.epoch_loop.batch_progress.current.completed:
            self._kept = {}

    def learn(self, network: str, features: Tensor, target: Tensor, classes: int) -> None:
        """Keep the samples."""
        rows = F.normalize(features, dim=1)
        if network in self._kept:
            earlier, labels = (x.to(rows.device) for x in self._kept[network])
            rows, target = torch.cat([earlier, rows]), torch.cat([labels, target])
        self._kept[network] = rows[-self.size :], target[-self.size :]

    @torch.no_grad()
    def classify(self, network: str, features: Tensor) -> Tensor | None:
        """Return the class that the nearest samples vote for."""
        if network not in self._kept:
            return None
        rows, labels = (x.to(features.device) for x in self._kept[network])
        similarity = F.normalize(features, dim=1) @ rows.T
        nearest, which = similarity.topk(min(self.k, len(rows)), dim=1)
        votes = features.new_zeros(len(features), int(labels.max()) + 1)
        # The differences alone count: this keeps the exponentials from overflowing.
        weights = ((nearest - nearest[:, :1]) / self.temperature).exp()
        return votes.scatter_add(1, labels[which], weights).argmax(1)

    def state_dict(self) -> dict[str, Any]:
        """Return the kept samples."""
        return dict(self._kept)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the kept samples."""
        self._kept = dict(state_dict)
