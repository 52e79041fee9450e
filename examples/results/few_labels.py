"""Write few_labels.md and cutoff.png: the candidates on validation data, the best on test data.

fdkd study examples/results/search/study.yaml
fdkd study examples/results/judge/study.yaml
python examples/results/few_labels.py
"""

import csv
import re
import statistics
from pathlib import Path

from matplotlib.figure import Figure

from fdkd_lightning.study.paired_difference import paired_difference
from fdkd_lightning.study.results import read_results, scores

HERE = Path(__file__).parent
REGIME = "few labels, many pairs"
WINNER = "FD-CMKD (light) + KD"
RIVALS = ("KD", "KD + shared heads", "KD + FD-CMKD, shuffled", "no teacher")

HEAD = """# Few labels, many pairs: what beats KD?

Training data: 2,000 pairs of digits, 200 of them labelled. The candidates were compared on
*validation* data, in both directions, with the seeds 10, 11 and 12. The one with the best mean over
both directions is `{winner}`
([`fdkd_kd_light.yaml`](../../configs/criterion/fdkd_kd_light.yaml)). It was evaluated once on test
data, with seeds that were not used for the selection. `python examples/results/few_labels.py`
writes this page from the results in [`search`](search) and [`judge`](judge).

## Candidates on validation data

Accuracy of the student's own classifier in %, last epoch: mean ± standard deviation over n = {n}
seeds.

| candidate | {directions} | mean |
|---|{rules}---|
{rows}

The configurations are in [`search/criteria`](search/criteria). fd: FD-CMKD with distances summed
over D; fd0.1: both lambdas are 0.1; low: lambda_high is 0.1; soft: soft shared heads (T = 4);
learn: learned cut-off frequency; noalign: no shared classifiers; cosine: the weight of FD-CMKD
decays to 0; T and w: temperature and weight of KD (default 4 and 1). These runs predate the
recording of commits; the losses were still being developed.

## The selected method on test data

| method | {directions} |
|---|{rules}
{judged}

Mean paired differences of {winner}, in points with 95 % intervals, n = {fresh} seeds:

{words}

**{verdict}**

"KD + shared heads" has the shared classifiers but no distance between bands. "shuffled" has both,
but FD-CMKD compares each sample with the teacher's output for another sample of the batch.
"no teacher" trains the classifiers on the student alone, without KD.

## The learned cut-off frequency

![The learned cut-off frequency over the epochs](cutoff.png)

Each line is a run of "fd learn soft+kd". The cut-off frequency started at 1/2 and stayed between
{lowest:.2f} and {highest:.2f} for {epochs} epochs. Other starting values were not tried.
"""


def spread(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def candidates() -> tuple[list[str], dict[str, dict[str, list[float]]]]:
    """Return the directions, and candidate -> direction -> validation accuracies."""
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
    judged = scores(*read_results(HERE / "judge"))
    columns = {direction: judged[direction, REGIME] for direction in directions}
    methods = columns[directions[0]]
    table = [
        f"| {name} | {' | '.join(spread(columns[d][name]) for d in directions)} |"
        for name in methods
    ]
    words = []
    for direction, column in columns.items():
        for rival in RIVALS:
            against = paired_difference(column[WINNER], column[rival])
            mean, low, high = (100 * value for value in against[:3])
            relation = {
                1: "significantly higher than",
                0: "no significant difference from",
                -1: "significantly lower than",
            }[against.sign]
            interval = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
            words.append(f"- {direction}: {relation} {rival} ({interval}).")
    beaten = [
        direction
        for direction, column in columns.items()
        if paired_difference(column[WINNER], column["KD"]).sign > 0
    ]
    verdict = {
        0: f"{WINNER} is not significantly higher than KD in either direction.",
        1: f"{WINNER} is significantly higher than KD in one direction only: {beaten[0]}."
        if beaten
        else "",
        2: f"{WINNER} is significantly higher than KD in both directions.",
    }[len(beaten)]
    cutoff = [float(row["threshold"]) for row in cutoffs()]
    return HEAD.format(
        winner=WINNER,
        n=len(found[ranked[0]][directions[0]]),
        fresh=len(methods[WINNER]),
        directions=" | ".join(directions),
        rules="---|" * len(directions),
        rows="\n".join(rows),
        judged="\n".join(table),
        words="\n".join(words),
        verdict=verdict,
        lowest=min(cutoff),
        highest=max(cutoff),
        epochs=1 + max(int(row["epoch"]) for row in cutoffs()),
    )


def keep_cutoffs() -> None:
    """Write cutoff.csv from the logs of the search's runs, if they exist."""
    rows = []
    for log in sorted(HERE.glob("search/runs/fd_learn*/logs/version_0/metrics.csv")):
        named = re.search(r"-(\w+)_to_(\w+)-.*seed(\d+)", log.parts[-4])
        assert named is not None
        with log.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["train/fd/threshold"]:
                    direction = f"{named[1]} to {named[2]}"
                    rows.append([direction, named[3], row["epoch"], row["train/fd/threshold"]])
    if rows:
        with (HERE / "search/cutoff.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["direction", "seed", "epoch", "threshold"], *rows])


def cutoffs() -> list[dict[str, str]]:
    with (HERE / "search/cutoff.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def draw_cutoff() -> None:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    rows = cutoffs()
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
    keep_cutoffs()
    (HERE / "few_labels.md").write_text(page())
    draw_cutoff()
