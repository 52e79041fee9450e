"""Writes few_labels.md and cutoff.png from the search and the published table.

python examples/results/few_labels.py, after
fdkd study examples/results/search/study.yaml and the published study.
"""

import csv
import statistics
from pathlib import Path

from matplotlib.figure import Figure

from fdkd_lightning.study.compare import paired_difference
from fdkd_lightning.study.results import read_results, scores

HERE = Path(__file__).parent
REGIME = "few labels, many pairs"
WINNER, RIVAL, CONTROL = "FD-CMKD (light) + KD", "KD", "no teacher"

HEAD = """# Few labels, many pairs: what beats KD?

200 labels among 2,000 pairs of digits. Candidates were tried on *validation* data with seeds 10,
11 and 12, in both directions; the best mean over both was fixed (`{winner}`, which is
[`fdkd_kd_light.yaml`](../../configs/criterion/fdkd_kd_light.yaml)) and judged once on test data,
with the five fresh seeds of the published table. `python examples/results/few_labels.py` made this
page from [`search`](search) and [`digits`](digits).

## Tried on validation data

Accuracy of the main head in %, last epoch, mean ± standard deviation over n = {n} seeds.

| candidate | {directions} | mean |
|---|{rules}---|
{rows}

What the names mean is in [`search/criteria`](search/criteria). fd: FD-CMKD with distances summed
over D; fd0.1: with both lambdas 0.1; low: with lambda_high 0.1; soft: with soft shared heads
(T = 4); learn: with a learned cut-off; noalign: without shared classifiers; cosine: the weight
of FD-CMKD falls to 0; T and w: KD's temperature and weight (4 and 1 unless told).

## Judged on test data

| direction | {winner} | {rival} | {control} | Δ {rival} | Δ {control} |
|---|---|---|---|---|---|
{verdict}

Mean paired differences in points with 95 % intervals, n = {fresh} seeds.

{words}

![The learned cut-off over the epochs](cutoff.png)

The learned cut-off hardly leaves 1/2, where it begins: nothing in these features asks for another
one. Each line is a run of "fd learn soft+kd" above.
"""


def spread(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def candidates() -> tuple[list[str], dict[str, dict[str, list[float]]]]:
    """The directions, and per candidate and direction the validation accuracies."""
    settings, rows = read_results(HERE / "search")
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.method in settings["methods"]:
            column = found.setdefault(row.method, {}).setdefault(row.direction, [])
            column.append(row.values["val_last"])
    return list(settings["directions"]), found


def overall(columns: dict[str, list[float]]) -> float:
    return statistics.mean(statistics.mean(values) for values in columns.values())


def page() -> str:
    directions, found = candidates()
    ranked = sorted(found, key=lambda name: -overall(found[name]))
    rows = [
        f"| {name} | {' | '.join(spread(found[name][d]) for d in directions)} "
        f"| {100 * overall(found[name]):.1f} |"
        for name in ranked
    ]
    judged = scores(*read_results(HERE / "digits"))
    verdict, words = [], []
    for direction in directions:
        column = judged[direction, REGIME]
        against = {name: paired_difference(column[WINNER], column[name]) for name in column}
        cells = [spread(column[name]) for name in (WINNER, RIVAL, CONTROL)]
        for name in (RIVAL, CONTROL):
            low, high = (100 * end for end in (against[name].low, against[name].high))
            cells.append(f"{100 * against[name].mean:+.1f} [{low:+.1f}, {high:+.1f}]")
            said = {1: "is above", 0: "is not told apart from", -1: "is below"}[against[name].sign]
            words.append(f"- {direction}: it {said} {name} ({cells[-1]}).")
        verdict.append(f"| {direction} | {' | '.join(cells)} |")
    return HEAD.format(
        winner=WINNER,
        rival=RIVAL,
        control=CONTROL,
        n=len(found[ranked[0]][directions[0]]),
        fresh=len(judged[directions[0], REGIME][WINNER]),
        directions=" | ".join(directions),
        rules="---|" * len(directions),
        rows="\n".join(rows),
        verdict="\n".join(verdict),
        words="\n".join(words),
    )


def draw_cutoff() -> None:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    with (HERE / "search/cutoff.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    colors = {"audio to visual": "tab:blue", "visual to audio": "tab:orange"}
    labelled = set()
    for direction, seed in sorted({(row["direction"], row["seed"]) for row in rows}):
        line = [
            (int(row["epoch"]), float(row["threshold"]))
            for row in rows
            if (row["direction"], row["seed"]) == (direction, seed)
        ]
        label = None if direction in labelled else direction
        labelled.add(direction)
        axes.plot(*zip(*line, strict=True), color=colors[direction], label=label)
    axes.axhline(0.5, color="gray", linestyle=":")
    axes.set(xlabel="epoch", ylabel="cut-off", ylim=(0.25, 0.75))
    axes.legend()
    figure.savefig(HERE / "cutoff.png", dpi=150)


if __name__ == "__main__":
    (HERE / "few_labels.md").write_text(page())
    draw_cutoff()
