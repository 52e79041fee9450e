import pickle
from collections.abc import Callable
from pathlib import Path

from fdkd_lightning.data.preparation.media_error import MediaError, check_file

Write = Callable[..., Path]


def test_a_whole_file_passes(tmp_path: Path, write_wav: Write, write_clip: Write) -> None:
    check_file(write_wav(tmp_path / "a.wav"))
    check_file(write_clip(tmp_path / "a.flv"))


def test_an_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(MediaError("missing", "there is no such file")))
    assert (error.status, error.reason) == ("missing", "there is no such file")
