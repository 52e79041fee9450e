import logging

import pytest
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from fdkd_lightning.training.quiet_lightning import quiet_lightning


def test_lightning_is_quiet_meanwhile_and_as_before_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with caplog.at_level(logging.INFO):
        with quiet_lightning():
            rank_zero_info("not said")
            with pytest.warns(UserWarning, match="advice"):
                rank_zero_warn("advice")
        rank_zero_info("said")
    assert caplog.messages == ["said"]
    with pytest.raises(KeyError), quiet_lightning(logging.ERROR):
        raise KeyError
    assert logger.level == level
    fabric = logging.getLogger("lightning.fabric")
    before = fabric.level
    with quiet_lightning(logging.ERROR):
        assert fabric.level == logger.level == logging.ERROR
    assert (fabric.level, logger.level) == (before, level)
