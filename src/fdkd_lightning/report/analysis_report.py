"""The report of ``fdkd analyze``: three sentences per teacher, and a figure."""

from pathlib import Path

from fdkd_lightning.ops.read_file import read_json
from fdkd_lightning.report.analysis_figure import plot_analysis
from fdkd_lightning.report.analysis_text import analysis_sentences


def print_analysis(folder: Path) -> None:
    """Print the sentences of an analysis and its files, and draw its figure.

    Args:
        folder: Folder with ``analysis.json`` and ``analysis.csv``.

    Raises:
        FileNotFoundError, ValueError: If the folder holds no analysis, or a damaged one.
    """
    rows = read_json(folder / "analysis.json", "run fdkd analyze again")["teachers"]
    for row in rows:
        print(*analysis_sentences(row), sep="\n")
    files = [folder / "analysis.csv", folder / "analysis.json", *plot_analysis(folder, rows)]
    print("written:", ", ".join(str(path) for path in files))
