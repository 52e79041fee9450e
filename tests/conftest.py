"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest
import torch

from fdkd_lightning.data.digits import AVDigits
from fdkd_lightning.data.emoji import Emoji


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks are tiny, and the workers' threads would wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the audio-visual digits, made once per session."""
    folder = common_folder(tmp_path_factory) / "digits"
    # Workers may build at the same time: the file appears in whole.
    AVDigits(folder).prepare_data()
    return folder


@pytest.fixture(scope="session")
def emoji_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the emoji, drawn once per session."""
    folder = common_folder(tmp_path_factory) / "emoji"
    Emoji(folder).prepare_data()
    return folder


def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that the workers of this session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
