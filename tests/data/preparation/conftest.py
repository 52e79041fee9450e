from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.sample import Sample


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """A sample with a number."""

    def make(number: int, split: str = "train", label: str = "a", group: str = "") -> Sample:
        sources = {"audio": f"{number}.wav"}
        where = f"t.csv, line {number}"
        return Sample(str(number), split, label, sources, group=group, where=where)

    return make


@pytest.fixture
def status() -> Callable[[Callable[[], object]], str]:
    """The status with which a file is refused."""

    def call(read: Callable[[], object]) -> str:
        with pytest.raises(MediaError) as caught:
            read()
        assert str(caught.value) == f"{caught.value.status}: {caught.value.reason}"
        return caught.value.status

    return call


@pytest.fixture
def half() -> Callable[..., Path]:
    """Cuts off the end of a file."""

    def cut(path: Path, share: float = 0.4) -> Path:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        return path

    return cut
