from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.call import _call_callback_hooks

from fdkd_lightning.training.trainer_callbacks import trainer_callbacks


def test_a_trainer_calls_what_is_appended() -> None:
    calls: list[str] = []

    class Called(Callback):
        def on_exception(self, trainer: Trainer, *_: object) -> None:
            calls.append("on_exception")

    trainer = Trainer(logger=False, enable_checkpointing=False)
    trainer_callbacks(trainer).append(Called())
    _call_callback_hooks(trainer, "on_exception", RuntimeError())
    assert calls == ["on_exception"]
