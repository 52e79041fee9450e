import logging

import pytest
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from fdkd_lightning.training.quiet_lightning import LIGHTNING, quiet_lightning


def test_lightning_is_quiet_meanwhile_and_as_before_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loggers = [logging.getLogger(name) for name in LIGHTNING]
    before = [logger.level for logger in loggers]
    with caplog.at_level(logging.INFO):
        with quiet_lightning():
            # Whichever of its packages was imported last in this process.
            rank_zero_info("not said")
            with pytest.warns(UserWarning, match="advice"):
                rank_zero_warn("advice")
        rank_zero_info("said")
    assert caplog.messages == ["said"]
    with quiet_lightning(logging.ERROR):
        assert {logger.level for logger in loggers} == {logging.ERROR}
    with pytest.raises(KeyError), quiet_lightning():
        raise KeyError
    assert [logger.level for logger in loggers] == before
