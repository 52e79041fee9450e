"""The report of ``fdkd analyze``: three sentences per teacher, and the figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.report.analysis_figure import plot_analysis
from fdkd_lightning.report.analysis_text import analysis_sentences
from fdkd_lightning.report.band_curve_figure import plot_band_curves
from fdkd_lightning.report.calibration_figure import plot_calibration
from fdkd_lightning.report.confusion_figure import plot_confusion
from fdkd_lightning.report.cutoff_figure import plot_cutoffs, read_cutoffs
from fdkd_lightning.report.embedding_figure import plot_embedding
from fdkd_lightning.report.gradient_figure import plot_gradients
from fdkd_lightning.report.layer_heat_map import plot_layers

FIGURES: dict[str, Callable[[Path], list[Path]]] = {
    "tsne": lambda folder: plot_embedding(folder, "tsne"),
    "umap": lambda folder: plot_embedding(folder, "umap"),
    "bands": plot_band_curves,
    "layers": plot_layers,
    "gradients": plot_gradients,
    "confusion": plot_confusion,
    "calibration": plot_calibration,
}
"""Name of a figure -> what draws it from its CSV file."""


def print_analysis(folder: Path) -> None:
    """Print the sentences of an analysis, its files and what is left out; draw its figures.

    Args:
        folder: Folder with ``analysis.json`` and ``analysis.csv``.

    Raises:
        FileNotFoundError, ValueError: If the folder holds no analysis, or a damaged one.
        ImportError: If matplotlib is not installed: the extra ``plots``.
    """
    analysis = read_json(folder / "analysis.json", "run fdkd analyze again")
    rows = analysis["teachers"]
    for row in rows:
        print(*analysis_sentences(row), sep="\n")
    figures, left_out = draw_figures(folder, analysis)
    files = [folder / "analysis.csv", folder / "analysis.json", *plot_analysis(folder, rows)]
    names = [path.name for path in [*files, *figures]]
    print(f"written to {folder}: {', '.join(names)}")
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, other in left_out.items() if other == reason]
        print(f"left out: {', '.join(names)}: {reason}")


def draw_figures(folder: Path, analysis: dict[str, Any]) -> tuple[list[Path], dict[str, str]]:
    """Draw the figures that an analysis holds; return the files, and why others are left out.

    Args:
        folder: Folder of the analysis.
        analysis: Content of ``analysis.json``.
    """
    left_out = {name: reason for name, reason in analysis["figures"].items() if reason is not None}
    files: list[Path] = []
    for name in analysis["figures"].keys() - left_out.keys():
        if name == "cutoff":
            points = read_cutoffs(analysis["students"])
            if not points:
                left_out[name] = (
                    "no student's run logs train/threshold: train one with "
                    "LearnableFrequencyDecoupler"
                )
                continue
            drawn = plot_cutoffs(folder, points)
        else:
            drawn = FIGURES[name](folder)
        files += [*drawn, folder / f"{name}.csv"]
    return sorted(files), left_out
