"""The report of ``fdkd benchmark``: table, figure and page, in the benchmark's folder."""

from pathlib import Path

from fdkd_lightning.benchmark.result_files import read_results
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.report.benchmark_figure import plot_benchmark
from fdkd_lightning.report.benchmark_page import benchmark_page
from fdkd_lightning.report.benchmark_table import table_lines
from fdkd_lightning.report.benchmark_text import run_sentences
from fdkd_lightning.report.render import save_page


def print_benchmark(folder: Path) -> None:
    """Write table, figure and page, and print the table, or of a run its sentences.

    Args:
        folder: Folder with ``benchmark.csv`` and ``benchmark.json``.

    Raises:
        FileNotFoundError, ValueError: If the folder holds no benchmark, or a damaged one.
    """
    results = read_results(folder)
    run = results.about.get("run")
    sentences = [] if run is None else run_sentences(results.rows, run)
    text = "\n".join([*table_lines(results, sentences), ""])
    with atomic_write(folder / "table.md", "w") as file:
        file.write(text)
    print("\n".join(sentences) if sentences else text)
    _, figure = plot_benchmark(folder, results)
    page = save_page(folder, benchmark_page(results, sentences, figure))
    print(f"report: {page}")
