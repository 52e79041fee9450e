"""Puts the published table into the README: python examples/results/update_readme.py."""

from pathlib import Path

RESULTS = Path(__file__).parent / "digits"
README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- results -->\n", "<!-- /results -->"


def updated(readme: str, table: str) -> str:
    """The README with the tables between its marks, headings two levels down."""
    # Without the title, and without the words, which take a line per method and column.
    lines = table.partition("## In words")[0].splitlines()[1:]
    body = "\n".join(f"##{line}" if line.startswith("#") else line for line in lines).strip()
    head, rest = readme.split(START)
    return f"{head}{START}\n{body}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(), (RESULTS / "table.md").read_text()))
