from pathlib import Path

from fdkd_lightning.report.figure_files import new_figure, plain, save_figure


def test_both_formats_are_written(tmp_path: Path) -> None:
    figure = new_figure(2, 1, "bands")
    # Without an escape, an error: no formula.
    figure.subplots().set_title(plain("$a_{$"))
    png, svg = save_figure(figure, tmp_path, "bands")
    assert png.name == "bands.png"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.name == "bands.svg"
    assert b"<svg" in svg.read_bytes()[:1000]
