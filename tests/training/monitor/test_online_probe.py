from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fits import equal, trainer, values
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from probe_fits import Wide, fit, loader, student
from small import Host

from fdkd_lightning.losses import RegressionTask
from fdkd_lightning.training.monitor.online_knn import OnlineKNN
from fdkd_lightning.training.monitor.online_linear_probe import OnlineLinearProbe
from fdkd_lightning.training.unimodal import UnimodalModule

PROBES = (OnlineKNN, OnlineLinearProbe)


def test_student_random_numbers_and_checkpoint_are_as_without_probes(tmp_path: Path) -> None:
    found = []
    for name, probes in (("without", []), ("with", [probe() for probe in PROBES])):
        checkpoint = ModelCheckpoint(tmp_path, filename=name)
        _, module = fit(tmp_path, *probes, checkpoint, epochs=2)
        saved = torch.load(tmp_path / f"{name}.ckpt", weights_only=False)
        found.append((values(module), saved["state_dict"], torch.rand(3)))
    assert equal(found[0][0], found[1][0])
    assert equal(found[0][1], found[1][1])
    assert torch.equal(found[0][2], found[1][2])


def test_no_hook_is_left_behind(tmp_path: Path) -> None:
    _, module = fit(tmp_path, OnlineKNN())
    assert not module.model._forward_hooks
    assert not module.teachers["audio"]._forward_hooks


def test_a_student_alone_is_probed(tmp_path: Path) -> None:
    module = UnimodalModule(Wide(), "visual")
    fitted = trainer(tmp_path, OnlineKNN())
    fitted.fit(module, loader(), loader(8))
    assert float(fitted.callback_metrics["probe/knn/student"]) == 1.0
    assert "probe/knn/audio teacher" not in fitted.callback_metrics


def test_without_labels_nothing_is_logged(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, *(probe() for probe in PROBES))
    fitted.fit(student(task_weight=None), loader(labelled=0), loader(8))
    assert not any(name.startswith("probe/") for name in fitted.callback_metrics)


@pytest.mark.parametrize(
    "module",
    [Host(), UnimodalModule(torch.nn.Identity(), "visual", task_loss=RegressionTask())],
)
def test_other_modules_and_tasks_are_refused(tmp_path: Path, module: LightningModule) -> None:
    with pytest.raises(TypeError, match=r"OnlineKNN needs a UnimodalModule .*leave the callback"):
        OnlineKNN().on_fit_start(trainer(tmp_path), module)


def learn_on_two(rank: int, folder: Path) -> None:
    fitted = trainer(folder, OnlineKNN(k=3), num_sanity_val_steps=0, devices=2, strategy="ddp")
    knn: OnlineKNN = fitted.callbacks[0]  # type: ignore[attr-defined]  # set by its connector
    fitted.fit(student(), loader(labelled=6), loader(8))
    _, labels = knn.state_dict()["student"]
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert float(fitted.callback_metrics["probe/knn/student"]) == 1.0
    assert float(fitted.callback_metrics["probe/knn/audio teacher"]) == 0.5


def test_two_ranks_learn_from_the_labels_of_both(
    on_two_ranks: Callable[..., None], tmp_path: Path
) -> None:
    on_two_ranks(tmp_path, learn_on_two)
