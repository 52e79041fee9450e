"""The report of ``fdkd sweep``: table, heat map and page, in the sweep's folder."""

from pathlib import Path

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.report.csv_table import write_table
from fdkd_lightning.report.render import save_page
from fdkd_lightning.report.sweep_heat_map import CELLS, cell_rows, heat_maps, plot_heat_maps
from fdkd_lightning.report.sweep_page import sweep_page
from fdkd_lightning.report.sweep_text import sweep_lines
from fdkd_lightning.study.sweep.sweep_results import read_results


def print_sweep(folder: Path) -> None:
    """Write the report and print its table; fail if trials failed, by their errors.

    Raises:
        SystemExit: With a message, if the folder holds no results or trials failed.
    """
    try:
        results = read_results(folder)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"fdkd sweep: {error}") from error
    text = "\n".join([f"# Sweep: {results.name}", "", *sweep_lines(results), ""])
    with atomic_write(folder / "table.md", "w") as file:
        file.write(text)
    maps = heat_maps(results)
    if maps:
        write_table(folder / "heatmap.csv", CELLS, cell_rows(maps))
        plot_heat_maps(folder / "heatmap.png", results, maps)
    path = save_page(folder, sweep_page(results, maps))
    print(text)
    print(f"report: {path}")
    if results.finished:
        print(f"best configuration: --config {folder / 'best.yaml'}")
    failed = [trial for trial in results.trials if trial.state == "failed"]
    if failed:
        raise SystemExit(
            f"fdkd sweep: {len(failed)} trials failed, the first: {failed[0].error}. Fix the cause "
            "and start the sweep again: it runs only the missing trials"
        )
