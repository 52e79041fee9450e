"""Puts the published table into the README: python examples/results/update_readme.py."""

from pathlib import Path

RESULTS = Path(__file__).parent / "digits"
README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- results -->\n", "<!-- /results -->"


def updated(readme: str, table: str) -> str:
    """The README with the table between its marks, headings two levels down."""
    lines = table.splitlines()[1:]  # without the title
    body = "\n".join(f"##{line}" if line.startswith("#") else line for line in lines).strip()
    head, rest = readme.split(START)
    return f"{head}{START}\n{body}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(), (RESULTS / "table.md").read_text()))
