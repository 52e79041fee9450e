"""Rank correlation of `fdkd analyze`, before anything is distilled, with the gains of studies.

Usage: python examples/results/forecast.py [study ...]
Trains the teachers and students w/o KD of each study (below; all of them by default) that its
folder does not hold, with the first seed, and analyzes each direction and regime: the numbers that
a user has before distilling. Gains are those of the published tables. Writes forecast.csv, table.md
and figure.png into examples/results/forecast; studies that are not named keep their rows.
"""

import csv
import sys
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure
from scipy.stats import spearmanr
from tqdm import tqdm

from fdkd_lightning.analysis.command import analyze
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.study.cell import run_cell
from fdkd_lightning.study.plan import Study, read_study
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.results import read_results, scores
from fdkd_lightning.study.tuning import judged_runs

HERE = Path(__file__).parent
FOLDER = HERE / "forecast"
# Name -> files of the study, its method, and that method's control of shuffled pairs.
STUDIES = {
    "digits": (["digits", "published"], "FD-CMKD, summed over D", "shuffled pairs"),
    "digits_other_classes": (["digits_other_classes"], "FD-CMKD", "shuffled pairs"),
    "emoji": (["emoji"], "FD-CMKD, summed over D", "shuffled pairs"),
    "watch": (["watch"], "FD-CMKD", "shuffled pairs"),
    "watch_labels": (["watch_labels"], "FD-CMKD of maps", "shuffled pairs"),
    "watch_all_labels": (["watch_all_labels"], "FD-CMKD of maps", "shuffled pairs"),
}
# The first is what fdkd analyze says first; the others stand beside it.
FORECASTS = {
    "r2": "R² beyond the class, minus that of shuffled pairs",
    "r2_new_groups": "the same of new groups",
    "cka": "linear CKA",
    "probe": "probe's accuracy, minus that of the student w/o KD",
    "teacher": "teacher's accuracy, minus that of the student w/o KD",
    "headroom": "headroom of the student w/o KD",
}
GAINS = {"w/o KD": "gain_over_baseline", "shuffled pairs": "gain_over_shuffled"}
KEYS = ("study", "direction", "regime")


def main(names: list[str]) -> None:
    unknown = sorted({*names} - {*STUDIES})
    if unknown:
        sys.exit(f"study {unknown[0]!r}: choose of {', '.join(STUDIES)}")
    chosen = names or [*STUDIES]
    kept = [row for row in read_rows() if row["study"] not in chosen]
    rows = [*kept, *(row for name in chosen for row in rows_of(name))]
    rows.sort(key=lambda row: [*STUDIES].index(row["study"]))
    with atomic_write(FOLDER / "forecast.csv", "w", newline="") as file:
        table = csv.DictWriter(file, [*KEYS, *FORECASTS, *GAINS.values()])
        table.writeheader()
        table.writerows(rows)
    with atomic_write(FOLDER / "table.md", "w") as file:
        file.write(page(read_rows()))
    draw(read_rows())


def read_rows() -> list[dict[str, str]]:
    path = FOLDER / "forecast.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def rows_of(name: str) -> list[dict[str, str]]:
    """The forecast and the gain of each direction and regime of a study."""
    files, method, control = STUDIES[name]
    paths = [f"configs/study/{file}.yaml" for file in files]
    study = read_study(paths[0], [*(f"--config={path}" for path in paths[1:])])
    study.folder = Path("runs/study") / name
    first = [run for run in judged_runs(study) if run.seed == study.seeds[0]]
    rows = []
    for run in tqdm([run for run in first if run.method == method], f"analyze {name}"):
        (alone,) = [
            other
            for other in first
            if other.method == study.baseline
            and (other.direction, other.regime) == (run.direction, run.regime)
        ]
        gains = measured_gains(name, run, study.baseline, control)
        row = {"study": name, "direction": run.direction, "regime": run.regime}
        rows.append(row | forecast(study, run, alone) | gains)
    return rows


def forecast(study: Study, run: Run, alone: Run) -> dict[str, str]:
    """Analyze a run's teacher and the student w/o KD."""
    runs = study.folder / "runs"
    for needed in (*(teacher for _, teacher in run.teachers), alone):
        if failure := run_cell(needed, runs, study.metric):
            sys.exit(failure)
    ((modality, teacher),) = run.teachers
    best = runs / teacher.name / "checkpoints/best.ckpt"
    folder = analyze(
        [
            "analyze",
            *run.command(),
            "--trainer.enable_progress_bar=false",
            f"--trainer.default_root_dir={runs / 'analyses' / alone.name}",
            f"--model.init_args.teachers.{modality}.init_args.checkpoint={best}",
            f"--data.init_args.seed={run.seed}",
            f"--student_checkpoint={runs / alone.name / 'checkpoints/last.ckpt'}",
        ]
    )
    ((found),) = read_json(folder / "analysis.json")["teachers"]
    accuracy = found["student_accuracy"]
    values = {
        "r2": found["r2"] - mean(found["r2_shuffled"]),
        "r2_new_groups": None
        if found["r2_new_groups"] is None
        else found["r2_new_groups"] - mean(found["r2_new_groups_shuffled"]),
        "cka": found["cka"],
        "probe": found["probe_accuracy"] - accuracy,
        "teacher": found["teacher_accuracy"] - accuracy if found["teacher_knows_classes"] else None,
        "headroom": found["headroom"],
    }
    return {key: "" if value is None else f"{value:.4f}" for key, value in values.items()}


def measured_gains(name: str, run: Run, baseline: str, control: str) -> dict[str, str]:
    column = scores(*read_results(HERE / name))[run.direction, run.regime]
    return {
        key: f"{mean(column[run.method]) - mean(column[reference]):.4f}"
        for reference, key in zip((baseline, control), GAINS.values(), strict=True)
    }


def correlation(rows: list[dict[str, str]], forecast: str, gain: str) -> tuple[float, float, int]:
    """Spearman's rank correlation, its p-value, and the number of pairs."""
    pairs = [(float(row[forecast]), float(row[gain])) for row in rows if row[forecast]]
    if len(pairs) < 3:
        return float("nan"), float("nan"), len(pairs)
    found = spearmanr(*zip(*pairs, strict=True))
    return float(found.statistic), float(found.pvalue), len(pairs)


def page(rows: list[dict[str, str]]) -> str:
    lines = [
        "# Does the forecast order the gains?",
        "",
        "`python examples/results/forecast.py` writes this page. Each row of the second table is",
        "a direction and regime of a published study: what `fdkd analyze` measures before anything",
        "is distilled, with the first seed, and the mean gain of FD-CMKD over all seeds. Two",
        "directions of one data set are not independent, and rows are few: p-values are a guide.",
        "",
        "Spearman's rank correlation with the gain (p, rows):",
        "",
        f"| forecast | over {' | over '.join(GAINS)} |",
        f"|---|{'---|' * len(GAINS)}",
    ]
    for name, meaning in FORECASTS.items():
        cells = []
        for gain in GAINS.values():
            rho, p, n = correlation(rows, name, gain)
            cells.append(f"{rho:+.2f} (p = {p:.2f}, {n})" if n > 2 else f"- ({n})")
        lines.append(f"| {meaning} | {' | '.join(cells)} |")
    rho, p, n = correlation(rows, "r2", "gain_over_shuffled")
    word = "orders" if rho > 0 and p < 0.05 else "is not shown to order"
    lines += [
        "",
        f"**R² beyond the class {word} the gains over shuffled pairs (rank correlation {rho:+.2f}, "
        f"p = {p:.2f}, n = {n}).**",
        "",
        "![R² beyond the class and the gain](figure.png)",
        "",
        f"| {' | '.join(KEYS)} | {' | '.join(FORECASTS)} | over {' | over '.join(GAINS)} |",
        f"|---|---|---|{'---|' * (len(FORECASTS) + len(GAINS))}",
    ]
    for row in rows:
        cells = [row[key] for key in KEYS]
        cells += [row[key] and f"{float(row[key]):+.2f}" for key in FORECASTS]
        cells += [f"{100 * float(row[key]):+.1f}" for key in GAINS.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def draw(rows: list[dict[str, str]]) -> None:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    panels = figure.subplots(1, len(GAINS), sharey=True)
    for axes, (reference, gain) in zip(panels, GAINS.items(), strict=True):
        for name, marker in zip(STUDIES, "osD^vP", strict=True):
            points = [row for row in rows if row["study"] == name]
            axes.scatter(
                [float(row["r2"]) for row in points],
                [100 * float(row[gain]) for row in points],
                marker=marker,
                label=name.replace("_", " "),
            )
        axes.axhline(0, color="gray", linestyle=":")
        axes.set(xlabel="R² beyond the class", title=f"gain over {reference}, points")
    panels[-1].legend(fontsize="small")
    figure.savefig(FOLDER / "figure.png", dpi=150)


if __name__ == "__main__":
    main(sys.argv[1:])
