from pathlib import Path

import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fdkd_lightning.training.monitor.logged_samples import Sample, Samples, log_samples

IMAGE = torch.zeros(3, 2, 2, dtype=torch.uint8)
SAMPLES = Samples(["label", "class"], {3: Sample(["a|b", "c"], IMAGE), 8: Sample(["d", "e"])}, 5)


def test_tensorboard_gets_a_table_and_the_images(tmp_path: Path) -> None:
    logger = TensorBoardLogger(str(tmp_path), "board", 0)
    log_samples(logger, SAMPLES)
    logger.experiment.close()  # type: ignore[no-untyped-call]  # torch does not annotate it
    board = EventAccumulator(str(tmp_path / "board/version_0"))
    board.Reload()
    (event,) = board.Tensors("samples/text_summary")
    assert event.step == 5
    assert event.tensor_proto.string_val[0].decode().splitlines() == [
        "| index | label | class |",
        "| --- | --- | --- |",
        "| 3 | a\\|b | c |",
        "| 8 | d | e |",
    ]
    assert board.Tags()["images"] == ["samples/3"]


def test_another_logger_gets_none(tmp_path: Path) -> None:
    class Other(Logger):
        name = version = "other"

        def log_metrics(self, *args: object, **kwargs: object) -> None:
            raise AssertionError

        log_hyperparams = log_metrics

    log_samples(Other(), SAMPLES)
