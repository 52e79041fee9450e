from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdkd_lightning.analysis.figure_rows import EmbeddedPoint
from fdkd_lightning.analysis.row_file import write_rows
from fdkd_lightning.report import embedding_figure

STUDENTS = ("w/o KD", "FD-CMKD")


def points(classes: int) -> list[EmbeddedPoint]:
    return [
        EmbeddedPoint("audio", "visual", student, role, f"class {i % classes}", i + 0.5, -float(i))
        for student in STUDENTS
        for role in ("teacher", "student")
        for i in range(12)
    ]


def test_each_point_is_drawn_by_modality_and_by_class(
    tmp_path: Path, kept: Callable[..., list[Any]]
) -> None:
    figures = kept(embedding_figure)
    write_rows(tmp_path / "tsne.csv", EmbeddedPoint, points(3))
    embedding_figure.plot_embedding(tmp_path, "tsne")
    [figure] = figures
    assert [panel.get_title() for panel in figure.axes[:2]] == [*STUDENTS]
    for panel in figure.axes[:2]:
        assert [x.get_label() for x in panel.collections] == ["teacher", "student"]
        for dots in panel.collections:
            assert dots.get_offsets().tolist() == [[i + 0.5, -i] for i in range(12)]
    for panel in figure.axes[2:]:
        assert [len(x.get_offsets()) for x in panel.collections] == [8, 8, 8]
    # The same key for all panels of a row.
    texts = [text.get_text() for text in figure.axes[3].get_legend().get_texts()]
    assert texts == ["class 0", "class 1", "class 2"]


def test_of_many_classes_there_is_no_key(tmp_path: Path, kept: Callable[..., list[Any]]) -> None:
    figures = kept(embedding_figure)
    write_rows(tmp_path / "umap.csv", EmbeddedPoint, points(12))
    embedding_figure.plot_embedding(tmp_path, "umap")
    upper, lower = (figures[0].axes[k].get_legend() for k in (1, 3))
    assert upper is not None
    assert lower is None
