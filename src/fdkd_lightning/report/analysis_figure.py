"""Figure of an analysis: agreement of the pairs, similarity of the bands, accuracies."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from fdkd_lightning.analysis.similarity import Similarity
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.report.figure_files import new_figure, save_figure

PANELS = {
    "agreement": "R² beyond the class; CKA",
    "bands": "mean cosine of the pairs",
    "accuracy": "validation accuracy",
}
COLORS = ("C0", "0.7", "C1")


class Bar(NamedTuple):
    """One bar of the figure.

    Args:
        teacher: Modality of the teacher, whose row of panels holds the bar.
        panel: A key of ``PANELS``.
        group: Label below the bar and its neighbours.
        variant: What tells it from its neighbours; empty for a bar alone.
        value: Its height.
    """

    teacher: str
    panel: str
    group: str
    variant: str
    value: float


def bars_of(row: Mapping[str, Any]) -> list[Bar]:
    """Return the bars of a teacher's row in ``analysis.json``; what is not known has none."""
    forth, back, new = "R² of\nstudent", "R² of\nteacher", "R² of student,\nnew groups"
    found = [
        ("agreement", forth, "pairs", row["r2"]),
        ("agreement", forth, "shuffled within classes", mean(row["r2_shuffled"])),
        ("agreement", back, "pairs", row["r2_reverse"]),
        ("agreement", back, "shuffled within classes", mean(row["r2_reverse_shuffled"])),
        ("agreement", "linear\nCKA", "pairs", row["cka"]),
        ("agreement", "linear\nCKA", "shuffled within classes", row["cka_shuffled"]),
    ]
    if row["r2_shuffled_in_groups"] is not None:
        in_groups = mean(row["r2_shuffled_in_groups"])
        found.insert(2, ("agreement", forth, "shuffled within class and group", in_groups))
    if row["r2_new_groups"] is not None:
        found[-4:-4] = [
            ("agreement", new, "pairs", row["r2_new_groups"]),
            ("agreement", new, "shuffled within classes", mean(row["r2_new_groups_shuffled"])),
        ]
    if row["bands"] is not None:
        permuted = [mean(values) for values in zip(*row["bands_permuted"], strict=True)]
        for variant, bands in (
            ("without the mean (DC)", row["bands"]),
            ("channels permuted", permuted),
            ("with the mean", row["bands_with_dc"]),
        ):
            found += [
                ("bands", name, variant, value)
                for name, value in zip(Similarity._fields, bands, strict=True)
            ]
    accuracies = {
        "largest\nclass": row["chance"],
        "student\nalone": row["student_accuracy"],
        "probe of\nteacher": row["probe_accuracy"],
        "teacher" if row["teacher_knows_classes"] else "teacher, its\nown classes": row[
            "teacher_accuracy"
        ],
    }
    found += [("accuracy", name, "", x) for name, x in accuracies.items() if x is not None]
    return [Bar(row["teacher"], *bar) for bar in found]


def plot_analysis(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Draw a row of three panels for each teacher; return the files.

    Args:
        folder: Where to write ``figure.png``, ``figure.svg`` and ``figure.csv``, their values.
        rows: The rows of ``analysis.json``.

    Raises:
        ImportError: If matplotlib is not installed: the extra ``plots``.
    """
    bars = [bar for row in rows for bar in bars_of(row)]
    with atomic_write(folder / "figure.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Bar._fields)
        writer.writerows(
            [" ".join(x.split()) if isinstance(x, str) else x for x in bar] for bar in bars
        )
    figure = new_figure(12, 0.4 + 3 * len(rows), "figure")
    panels = figure.subplots(len(rows), len(PANELS), squeeze=False)
    for line, row in zip(panels, rows, strict=True):
        for panel, (name, title) in zip(line, PANELS.items(), strict=True):
            _draw(panel, [b for b in bars if (b.teacher, b.panel) == (row["teacher"], name)])
            panel.set_title(title, fontsize=10)
        line[0].set_ylabel(f"{row['teacher']} teaches {row['student']}")
    return [*save_figure(figure, folder, "figure"), folder / "figure.csv"]


def _draw(panel: Any, bars: Sequence[Bar]) -> None:
    groups = list(dict.fromkeys(bar.group for bar in bars))
    variants = list(dict.fromkeys(bar.variant for bar in bars))
    if not bars:
        panel.text(0.5, 0.5, "features differ in width", ha="center", fontsize=9)
        panel.set_axis_off()
        return
    width = 0.8 / len(variants)
    for k, variant in enumerate(variants):
        chosen = [bar for bar in bars if bar.variant == variant]
        offset = (k - (len(variants) - 1) / 2) * width
        places = [groups.index(bar.group) + offset for bar in chosen]
        drawn = panel.bar(
            places, [b.value for b in chosen], width, color=COLORS[k], label=variant or None
        )
        # No minus before a zero.
        panel.bar_label(drawn, [f"{round(b.value, 2) + 0:.2f}" for b in chosen], fontsize=8)
    panel.axhline(0, color="0.3", linewidth=0.8)
    panel.set_xticks(range(len(groups)), groups, fontsize=8)
    panel.margins(y=0.2)
    if len(variants) > 1:
        panel.legend(fontsize=8)
