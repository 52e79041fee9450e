import base64
from pathlib import Path

from page_reader import Page

from fdkd_lightning.benchmark.result_files import Results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.report.benchmark_page import benchmark_page
from fdkd_lightning.report.benchmark_table import row_cells

MACHINE = {"processor": "X", "cores": 2, "threads": 2, "gpu": None, "load": 0.1}
ROWS = [
    Row("loss", "64x512", "plain <form>", "s", 0.005, 0.005, 0.004, 0.006, 9),
    Row("loss", "64x512", "FDKDLoss", "s", 0.002, 0.002, 0.002, 0.003, 9, "plain <form>", 0.4),
    Row("memory", "map", "loss", "bytes", 2048, 2048, 2048, 2048, 1),
]


def test_the_page_holds_each_row_the_figure_and_the_command(tmp_path: Path) -> None:
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    about = {"command": "fdkd benchmark --cases=loss", "machine": MACHINE, "versions": {}}
    text = benchmark_page(Results(ROWS, {**about, "skipped": {"loader": "no av"}}), ["A."], figure)
    page = Page(text)
    lines = [line for line in page.find("tr") if page.find("td", line)]
    shown = [
        [cell.text for cell in page.elements if line in cell.parents and cell.tag in ("th", "td")]
        for line in lines
    ]
    assert shown == [row_cells(row) for row in ROWS]
    assert "plain <form>" not in text
    ratio = page.find("td", lines[1])[-1]
    assert float(ratio.attributes["data-sort"]) == 0.4
    (image,) = page.find("img")
    assert base64.b64decode(image.attributes["src"].partition("base64,")[2]) == b"<svg/>"
    assert [item.text for item in page.find("li")] == ["A.", "loader: no av"]
    assert page.find("pre")[0].text == about["command"]
