"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest
import torch

from fdkd_lightning.data.digits import AVDigits


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks are tiny, and the workers' threads would wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the audio-visual digits, made once per session."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the workers' common one
    # Workers may build at the same time: the file appears in whole.
    AVDigits(folder / "digits").prepare_data()
    return folder / "digits"
