"""Write the README's results tables from examples/results/watch and .../watch_all_labels.

python examples/results/update_readme.py
"""

from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.report import selected_table
from fdkd_lightning.report.score_table import caption
from fdkd_lightning.study.results import read_results

RESULTS = Path(__file__).parent
README = Path(__file__).parents[2] / "README.md"


class Shown(NamedTuple):
    """A table of the README: its marker and the study's folder, the regime and the rows."""

    marker: str
    folder: str
    regime: str
    methods: tuple[str, ...]


TABLES = (
    Shown(
        "watch",
        "watch",
        "foreign teacher, two labels a class",
        ("w/o KD", "shuffled pairs", "PKD", "FitNets", "SP", "RKD", "CRD", "FD-CMKD"),
    ),
    Shown(
        "watch, all labels",
        "watch_all_labels",
        "all labels",
        (
            *("w/o KD", "no teacher", "shuffled pairs", "same class, another moment (oracle)"),
            *("KD", "FD-CMKD, shared classifiers", "KD + FD-CMKD of maps"),
            *("FD-CMKD of maps", "maps not split"),
        ),
    ),
)


def updated(readme: str) -> str:
    """The README with each table between its markers."""
    for shown in TABLES:
        settings, rows = read_results(RESULTS / shown.folder)
        table = selected_table(settings, rows, shown.regime, shown.methods)
        text = "\n".join([caption(settings), "", *table])
        start, end = f"<!-- {shown.marker} -->\n", f"<!-- /{shown.marker} -->"
        head, rest = readme.split(start)
        readme = f"{head}{start}\n{text}\n\n{end}{rest.split(end)[1]}"
    return readme


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
