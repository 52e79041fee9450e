"""Write the README's results table from examples/results/digits.

python examples/results/update_readme.py
"""

from pathlib import Path

from fdkd_lightning.report import selected_table
from fdkd_lightning.report.score_table import caption
from fdkd_lightning.study.results import read_results

RESULTS = Path(__file__).parent / "digits"
README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- results -->\n", "<!-- /results -->"
REGIME = "few labels, many pairs"
METHODS = (
    "w/o KD",
    "no teacher",
    "shuffled pairs",
    "KD",
    "DIST",
    "CRD",
    "FD-CMKD, published scale",
    "FD-CMKD, summed over D",
    "FD-CMKD, soft heads",
    "FD-CMKD (light) + KD",
)


def table() -> str:
    """The caption and the table."""
    settings, rows = read_results(RESULTS)
    lines = [caption(settings), "", *selected_table(settings, rows, REGIME, METHODS)]
    return "\n".join(lines)


def updated(readme: str, table: str) -> str:
    """The README with a table between its markers."""
    head, rest = readme.split(START)
    return f"{head}{START}\n{table}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(), table()))
