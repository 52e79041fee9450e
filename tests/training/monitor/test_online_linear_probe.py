from pathlib import Path

import pytest
import torch
from fits import trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from probe_fits import fit, loader, student

from fdkd_lightning.training.monitor.online_linear_probe import OnlineLinearProbe


def test_separable_features_are_classified_and_equal_ones_are_not(tmp_path: Path) -> None:
    fitted, _ = fit(tmp_path, OnlineLinearProbe(lr=0.1), epochs=3)
    found = {name: float(value) for name, value in fitted.callback_metrics.items()}
    assert found["probe/linear/student"] == 1.0
    assert found["probe/linear/audio teacher"] == 0.5


def test_a_resumed_run_goes_on_with_the_classifier(tmp_path: Path) -> None:
    whole = OnlineLinearProbe()
    fit(tmp_path, whole, ModelCheckpoint(tmp_path, filename="first", every_n_epochs=2), epochs=2)
    first = ModelCheckpoint(tmp_path, filename="{epoch}", every_n_epochs=1, save_top_k=-1)
    fit(tmp_path, OnlineLinearProbe(), first, epochs=1)
    parts = OnlineLinearProbe()
    resumed = trainer(tmp_path, parts, epochs=2, num_sanity_val_steps=0)
    resumed.fit(student(), loader(), loader(8), ckpt_path=tmp_path / "epoch=0.ckpt")
    for network, state in whole.state_dict().items():
        for name, value in state["probe"].items():
            assert torch.equal(value, parts.state_dict()[network]["probe"][name])


def test_a_single_labelled_sample_is_not_learned_from() -> None:
    probe = OnlineLinearProbe()
    probe.learn("student", torch.ones(1, 2), torch.tensor([0]), 2)
    assert probe.classify("student", torch.ones(1, 2)) is None


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="lr"):
        OnlineLinearProbe(lr=0)
    with pytest.raises(ValueError, match="weight_decay"):
        OnlineLinearProbe(weight_decay=-1)
