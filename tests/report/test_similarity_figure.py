from pathlib import Path

import pytest

from fdkd_lightning.analysis import Similarity
from fdkd_lightning.report import plot_similarity


def test_the_figure_is_written(tmp_path: Path) -> None:
    similarity = Similarity(0.9, -0.1, 0.8)
    plot_similarity(tmp_path / "similarity.png", {"a": similarity, "b": similarity})
    assert (tmp_path / "similarity.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="similarities is empty"):
        plot_similarity(tmp_path / "similarity.png", {})
