import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdkd_lightning.analysis.figure_rows import LayerRow
from fdkd_lightning.analysis.row_file import write_rows
from fdkd_lightning.report import layer_heat_map


def test_cells_are_the_values_of_the_table(tmp_path: Path, kept: Callable[..., list[Any]]) -> None:
    figures = kept(layer_heat_map)
    rows = [
        LayerRow("audio", "KD", a, b, value, 0.1)
        for (a, b), value in {
            ("stem", "conv"): 0.25,
            ("stem", "fc"): 0.5,
            ("fc", "conv"): 0.75,
            ("fc", "fc"): math.nan,
        }.items()
    ]
    rows[0] = rows[0]._replace(shuffled=0.375)
    write_rows(tmp_path / "layers.csv", LayerRow, rows)
    layer_heat_map.plot_layers(tmp_path)
    panel = figures[0].axes[0]
    [image] = panel.images
    # Rows are the student's layers, columns the teacher's.
    assert image.get_array().filled(-1).tolist() == [[0.25, 0.75], [0.5, -1]]
    assert [text.get_text() for text in panel.texts] == ["0.25", "0.75", "0.50", "?"]
    assert [x.get_text() for x in panel.get_xticklabels()] == ["stem", "fc"]
    assert [x.get_text() for x in panel.get_yticklabels()] == ["conv", "fc"]
    assert panel.get_title() == "KD\nshuffled: at most 0.38"
