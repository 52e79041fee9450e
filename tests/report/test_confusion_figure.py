from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.analysis.figure_rows import ConfusionRow
from fdkd_lightning.analysis.row_file import write_rows
from fdkd_lightning.report import confusion_figure


def test_cells_are_shares_of_the_true_class(tmp_path: Path, kept: Callable[..., list[Any]]) -> None:
    figures = kept(confusion_figure)
    rows = [
        ConfusionRow("KD", "2", "2", 3),
        ConfusionRow("KD", "2", "10", 1),
        ConfusionRow("KD", "10", "10", 5),
        ConfusionRow("Feat", "2", "10", 1),
    ]
    write_rows(tmp_path / "confusion.csv", ConfusionRow, rows)
    confusion_figure.plot_confusion(tmp_path)
    first, second = figures[0].axes[:2]
    assert first.images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]
    assert [text.get_text() for text in first.texts] == ["3", "1", "5"]
    # In the table's order.
    assert [x.get_text() for x in first.get_yticklabels()] == ["2", "10"]
    assert first.get_title() == "KD: 8 of 9 right"
    assert second.images[0].get_array().tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(("classes", "shown"), [(40, 40), (100, 34)])
def test_names_of_many_classes_do_not_overlap(
    tmp_path: Path, kept: Callable[..., list[Any]], classes: int, shown: int
) -> None:
    figures = kept(confusion_figure)
    rows = [ConfusionRow("KD", str(k), str(k), 1) for k in range(classes)]
    write_rows(tmp_path / "confusion.csv", ConfusionRow, rows)
    confusion_figure.plot_confusion(tmp_path)
    panel = figures[0].axes[0]
    assert len(panel.get_xticks()) == shown
    assert not panel.texts
