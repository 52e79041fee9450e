from pathlib import Path
from typing import Any

import pytest
import torch
from fits import equal, trainer, values
from small import Host, Norm, Source, beside, checkpoint, loader


def read() -> dict[str, torch.Tensor]:
    source = Source()
    source.load()
    return values(source.net)


@pytest.mark.parametrize("entry", ["validate", "test"])
def test_the_modules_weights_are_read_before_it_is_evaluated(tmp_path: Path, entry: str) -> None:
    source = Source()
    getattr(trainer(tmp_path, beside()), entry)(Host(source), loader())
    assert source.reads == 1
    assert equal(values(source.net), read())


def test_they_are_read_once_and_those_of_a_checkpoint_kept(tmp_path: Path) -> None:
    source, teacher = Source(), Source(width=6)
    host, run = Host(source), trainer(tmp_path, beside(teachers={"audio": teacher}))
    for epochs in (1, 2):
        run.fit_loop.max_epochs = epochs
        run.fit(host, loader())
    assert (source.reads, teacher.reads) == (1, 1)
    assert not equal(values(source.net), read())
    run.save_checkpoint(path := checkpoint(tmp_path))
    fresh = Source()
    trainer(tmp_path, beside(), epochs=2).fit(Host(fresh), loader(), ckpt_path=path)
    assert fresh.reads == 0
    assert equal(values(fresh), values(source))


class Poisoned(Norm):
    def forward(self, x: torch.Tensor) -> Any:
        output = super().forward(x)
        return output._replace(logits=output.logits * self.factor)

    factor = 1.0


def test_a_run_that_diverges_ends(tmp_path: Path) -> None:
    class Late(Host):
        def on_train_epoch_start(self) -> None:
            self.net.factor = float("nan") if self.current_epoch else 1.0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) * self.net.factor

    run = trainer(tmp_path, beside(), epochs=5)
    with pytest.raises(
        FloatingPointError, match=r"diverged: the module's own loss is NaN .*step 2"
    ):
        run.fit(Late(Poisoned()), loader())
    assert run.current_epoch == 1


def test_a_teacher_that_turns_nan_is_named(tmp_path: Path) -> None:
    teacher = Poisoned(6)
    callback = beside(teachers={"audio": teacher})

    class Late(Host):
        def on_train_epoch_start(self) -> None:
            teacher.factor = float("nan") if self.current_epoch else 1.0

    with pytest.raises(FloatingPointError, match="the audio teacher's logits are NaN"):
        trainer(tmp_path, callback, epochs=5).fit(Late(), loader())


def test_frozen_features_are_an_error(tmp_path: Path) -> None:
    net = Norm()
    net.body.requires_grad_(False)
    net.norm.requires_grad_(False)
    message = "no term in the loss of Host came from layer 'net.fc'"
    with pytest.raises(RuntimeError, match=message):
        trainer(tmp_path, beside()).fit(Host(net), loader())
