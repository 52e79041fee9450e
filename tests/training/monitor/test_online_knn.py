from pathlib import Path

import pytest
import torch
from fits import trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from probe_fits import fit, loader, student

from fdkd_lightning.training.monitor.online_knn import OnlineKNN


def test_separable_features_are_classified_and_equal_ones_are_not(tmp_path: Path) -> None:
    fitted, _ = fit(tmp_path, OnlineKNN(k=3))
    found = {name: float(value) for name, value in fitted.callback_metrics.items()}
    assert found["probe/knn/student"] == 1.0
    # Half of the samples have the class that all of them are given.
    assert found["probe/knn/audio teacher"] == 0.5


def test_unlabelled_samples_are_no_neighbours(tmp_path: Path) -> None:
    # Theirs are the features of the other class: as neighbours they would be nearest.
    knn = OnlineKNN(k=1)
    fitted, _ = fit(tmp_path, knn, labelled=4, wrong=True)
    rows, labels = knn.state_dict()["student"]
    assert labels.tolist() == [0, 1, 0, 1]
    assert rows.shape == (4, 2)
    assert float(fitted.callback_metrics["probe/knn/student"]) == 1.0


def test_the_nearest_vote_by_their_similarity() -> None:
    knn = OnlineKNN(k=3, temperature=0.1)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    knn.learn("student", rows, torch.tensor([1, 0, 0]), 2)
    # Two of three are of class 0, but one of class 1 is far nearer.
    x = torch.tensor([[3.0, 0.1], [0.0, 2.0]])
    assert knn.classify("student", x).tolist() == [1, 0]  # type: ignore[union-attr]  # it has learned
    assert knn.classify("teacher", x) is None


def test_the_oldest_samples_make_room() -> None:
    knn = OnlineKNN(k=1, size=2)
    for number in range(3):
        knn.learn("student", torch.eye(3)[[number]], torch.tensor([number]), 3)
    assert knn.state_dict()["student"][1].tolist() == [1, 2]


def test_a_run_resumed_within_an_epoch_keeps_its_neighbours(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1)
    fit(tmp_path, OnlineKNN(), checkpoint)
    knn = OnlineKNN()
    resumed = trainer(tmp_path, knn, num_sanity_val_steps=0)
    resumed.fit(student(), loader(), loader(8), ckpt_path=tmp_path / "epoch=0-step=2.ckpt")
    assert len(knn.state_dict()["student"][1]) == 16


def test_arguments_out_of_range_are_refused() -> None:
    for argument in ("k", "size", "temperature"):
        with pytest.raises(ValueError, match=argument):
            OnlineKNN(**{argument: 0})
