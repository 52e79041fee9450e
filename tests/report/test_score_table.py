from statistics import mean, stdev

import pytest
from made_up import ALONE, by_hand, plus, study

from fdkd_lightning.report.score_table import score_tables, selected_table
from fdkd_lightning.study.results import Row


def test_the_numbers_of_the_table_worked_out_by_hand() -> None:
    # Sorted differences -1, 0, 1, 2, 3 points: mean 1, deviation sqrt 2.5, half an interval
    # 2.776 * sqrt(2.5 / 5) = 1.96.
    fdkd = [a + d / 100 for a, d in zip(ALONE, [3, -1, 0, 2, 1], strict=True)]
    lines = score_tables(*study({("a2v", "full"): {"alone": ALONE, "fdkd": fdkd}}))
    assert "| method | accuracy | Δ alone | Δ controls and references |" in lines
    # 50 +- sqrt((0 + 4 + 4 + 1 + 1) / 4) = 1.6; 53, 51, 48, 53, 50: 51 +- sqrt(18 / 4) = 2.1.
    assert "| alone | 50.0 ± 1.6 | - | - |" in lines
    assert "| fdkd | 51.0 ± 2.1 | +1.0 [-1.0, +3.0] | - |" in lines


def test_every_method_is_compared_with_baseline_and_control_of_its_column() -> None:
    columns = {
        (direction, regime): {
            "alone": plus(ALONE, shift),
            "free": plus(ALONE[::-1], shift + 0.02),
            "fdkd": plus(ALONE[2:] + ALONE[:2], 2 * shift),
        }
        for shift, (direction, regime) in zip(
            (0.01, 0.1, 0.2, 0.3),
            [(d, r) for r in ("full", "few") for d in ("a2v", "v2a")],
            strict=True,
        )
    }
    settings, rows = study(columns)
    lines = score_tables(settings, rows[::-1])
    place = ""
    found: dict[tuple[str, str], list[str]] = {}
    regime = ""
    for line in lines:
        if line.startswith("## "):
            regime = line[3:]
        elif line.startswith("### "):
            place = line[4:]
        elif line.startswith("| ") and not line.startswith("| method"):
            found.setdefault((place, regime), []).append(line)
    assert found.keys() == columns.keys()
    for key, column in columns.items():
        a, free, fdkd = column["alone"], column["free"], column["fdkd"]
        score = {m: f"{100 * mean(v):.1f} ± {100 * stdev(v):.1f}" for m, v in column.items()}
        assert found[key] == [
            f"| alone | {score['alone']} | - | - |",
            f"| free | {score['free']} | {by_hand(free, a)} | - |",
            f"| fdkd | {score['fdkd']} | {by_hand(fdkd, a)} | {by_hand(fdkd, free)} (free) |",
        ]


def test_the_caption_describes_the_numbers() -> None:
    column = {("a2v", "full"): {"alone": ALONE}}
    first = score_tables(*study(column))[0]
    assert "Test accuracy" in first
    assert "last epoch" in first
    assert "n = 5 seeds" in first
    best = score_tables(*study(column, epoch="best", metric="macro_f1"))
    assert "Test macro_f1" in best[0]
    assert "best validation score" in best[0]
    assert any(line.startswith("| alone | 40.0 ± 1.6 |") for line in best)


def test_one_seed_has_no_deviation_and_no_interval() -> None:
    lines = score_tables(*study({("a2v", "full"): {"alone": [0.5], "fdkd": [0.625]}}))
    assert "| alone | 50.0 | - | - |" in lines
    assert "| fdkd | 62.5 | +12.5 | - |" in lines


def test_the_teachers_are_below_with_the_weights_the_students_learnt_from() -> None:
    settings, rows = study({("a2v", "full"): {"alone": ALONE}})
    rows += [
        Row("teacher", "audio", "full", seed, "", True, {"test_last": 0.0, "test_best": v})
        for seed, v in enumerate(ALONE)
    ]
    assert score_tables(settings, rows)[-1] == (
        "Teachers, on their own modality, epoch with the best validation score: "
        "audio (full) 50.0 ± 1.6."
    )


def test_a_selection_has_the_numbers_of_the_whole_table() -> None:
    columns = {
        (direction, regime): {"alone": ALONE, "free": ALONE[::-1], "fdkd": plus(ALONE, shift)}
        for shift, (direction, regime) in zip(
            (0.1, 0.2, 0.3), (("a2v", "full"), ("a2v", "few"), ("v2a", "few")), strict=True
        )
    }
    settings, rows = study(columns)
    few, back = columns["a2v", "few"]["fdkd"], columns["v2a", "few"]["fdkd"]
    assert selected_table(settings, rows, "few", ["fdkd", "alone"]) == [
        "| method | a2v | Δ alone | v2a | Δ alone |",
        "|---|---|---|---|---|",
        f"| fdkd | 70.0 ± 1.5 | {by_hand(few, ALONE)} | 80.0 ± 1.5 | {by_hand(back, ALONE)} |",
        "| alone | 50.0 ± 1.6 | - | 50.0 ± 1.6 | - |",
    ]


@pytest.mark.parametrize(
    ("regime", "methods", "message"),
    [
        ("none", ["alone"], "'none' is not among the regimes: full"),
        ("full", ["KD"], "'KD' is not among the methods: alone"),
    ],
)
def test_a_selection_of_what_is_not_there_is_an_error(
    regime: str, methods: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        selected_table(*study({("a2v", "full"): {"alone": ALONE}}), regime, methods)
