import importlib.util
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from fdkd_lightning.benchmark.result_files import read_results as read_benchmark
from fdkd_lightning.cli import main
from fdkd_lightning.data.embedded.watch import TEST_SUBJECTS, Watch
from fdkd_lightning.report.benchmark_table import table_lines
from fdkd_lightning.report.score_table import teacher_scores
from fdkd_lightning.study.paired_difference import Difference, leader, paired_difference
from fdkd_lightning.study.results import LOCAL, read_results, scores
from fdkd_lightning.training.run.redaction import redact

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ORACLE = "same class, another moment (oracle)"


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/results/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_the_published_table() -> str:
    text: str = script("update_readme").updated(README)
    return text


def test_the_results_are_those_of_the_published_table() -> None:
    assert with_the_published_table() == README, "run: python examples/results/update_readme.py"


def test_the_published_table_comes_from_the_published_runs(tmp_path: Path) -> None:
    for name in ("results.csv", "results.json"):
        (tmp_path / name).write_bytes((ROOT / "examples/results/digits" / name).read_bytes())
    main(["report", str(tmp_path)])
    table = (ROOT / "examples/results/digits/table.md").read_text()
    assert (tmp_path / "table.md").read_text() == table


def test_the_page_of_the_search_is_that_of_its_runs() -> None:
    path = ROOT / "examples/results/few_labels.md"
    assert script("few_labels").page() == path.read_text(), "run: examples/results/few_labels.py"


def test_the_table_of_the_benchmark_is_that_of_its_numbers() -> None:
    folder = ROOT / "examples/results/benchmark"
    text = "\n".join([*table_lines(read_benchmark(folder)), ""])
    assert (folder / "table.md").read_text() == text, "run: fdkd report examples/results/benchmark"


def test_the_costs_are_those_of_the_benchmarks_numbers() -> None:
    found, text = script("cost"), (ROOT / "examples/results/cost.md").read_text()
    assert found.page() == text, "run: python examples/results/cost.py"
    # 199,176 rows of 512 + 309 numbers in fp16, with 29 bytes each beside them.
    assert f"| cache, float16 | {199_176 * (2 * 821 + 29) / 2**20:.0f} MiB |" in text
    # The guide's share of the loss.
    rows = read_benchmark(ROOT / "examples/results/benchmark").rows
    (share,) = (
        row.ratio for row in rows if (row.size, row.variant) == ("ResNet-18, 64x3x96x96", "FD-CMKD")
    )
    guide = (ROOT / "examples/guides/cost.md").read_text()
    assert f"takes {100 * share:.1f} % of a student's step" in guide


def test_the_page_of_the_forecast_is_that_of_its_numbers_and_of_the_published_gains() -> None:
    found = script("forecast")
    rows = found.read_rows()
    text = (ROOT / "examples/results/forecast/table.md").read_text()
    assert found.page(rows) == text, "run: python examples/results/forecast.py"
    for row in rows:
        _, method, control = found.STUDIES[row["study"]]
        published = scores(*read_results(ROOT / "examples/results" / row["study"]))
        column = published[row["direction"], row["regime"]]
        for reference, name in ("w/o KD", "gain_over_baseline"), (control, "gain_over_shuffled"):
            gain = statistics.mean(column[method]) - statistics.mean(column[reference])
            assert float(row[name]) == pytest.approx(gain, abs=5e-5)
    # As in the README.
    numbers = re.search(r"\(rank correlation [^)]*\)", text)
    assert numbers is not None
    assert numbers[0] in " ".join(README.split())


def test_what_was_judged_is_what_was_best_on_validation_data() -> None:
    found = script("few_labels")
    _, candidates = found.candidates()
    best = max(candidates, key=lambda name: found.overall(candidates[name]))
    tried = yaml.safe_load((ROOT / "examples/results/search/study.yaml").read_text())
    (path,) = (arg for arg in tried["methods"][best]["args"] if "criteria" in arg)
    tuned, named = (
        yaml.safe_load((ROOT / name).read_text())["model"]["init_args"]["criterion"]["init_args"]
        for name in (path, "configs/criterion/fdkd_kd_light.yaml")
    )
    fdkd, its = tuned["losses"]["fd"]["init_args"], named["losses"]["fdkd"]["init_args"]
    for name in (
        "lambda_low",
        "lambda_high",
        "lambda_soft",
        "channel_reduction",
        "band_standardizer",
    ):
        assert fdkd[name] == its[name]
    assert tuned["losses"]["kd"] == named["losses"]["kd"]
    judged, published = (
        yaml.safe_load((ROOT / name).read_text())
        for name in ("examples/results/judge/study.yaml", "configs/study/published.yaml")
    )
    assert "configs/criterion/fdkd_kd_light.yaml" in judged["methods"][found.WINNER]["args"]
    assert not {*tried["seeds"], *published["seeds"]} & {*judged["seeds"]}


def test_the_words_beside_the_table_are_true_of_it() -> None:
    found = scores(*read_results(ROOT / "examples/results/digits"))

    def sign(direction: str, regime: str, method: str, reference: str) -> int:
        column = found[direction, regime]
        return paired_difference(column[method], column[reference]).sign

    both, few, full = ("audio to visual", "visual to audio"), "few labels, many pairs", "all labels"
    scale, total = "FD-CMKD, published scale", "FD-CMKD, summed over D"
    soft, light = "FD-CMKD, soft heads", "FD-CMKD (light) + KD"
    for direction in both:
        # All labels: above w/o KD, as the heads without a teacher are, and not above these.
        for method in (scale, total, soft, light, "no teacher", "shuffled pairs"):
            assert sign(direction, full, method, "w/o KD") == 1
        for method in (scale, total, soft):
            assert sign(direction, full, method, "no teacher") == 0
        assert sign(direction, full, total, "shuffled pairs") == 0
        # Few labels: at the published scale in one direction; summed, and with soft heads, in both.
        assert sign(direction, few, scale, "no teacher") == (direction == "audio to visual")
        for method in (total, soft, light):
            assert sign(direction, few, method, "no teacher") == 1
        assert sign(direction, few, total, "shuffled pairs") == 1
        # The summed distances stay below plain KD; soft heads come up to it.
        assert sign(direction, few, total, "KD") == -1
        assert sign(direction, few, soft, "KD") == 0
        for regime in (few, full):
            # What KD brings in the mixture is not FD-CMKD's, nor is anyone first beyond doubt.
            for control in ("KD + shared heads", "KD + FD-CMKD, shuffled"):
                assert sign(direction, regime, light, control) == 0
            for method in ("KD", "DIST", "CRD"):
                assert sign(direction, regime, method, "w/o KD") == 1
            for method in ("C2KD, frozen teacher", "C2KD, teacher trained"):
                assert sign(direction, regime, method, "w/o KD") <= 0
            assert not leader(found[direction, regime])[1]


def test_the_words_on_the_ablation_are_true_of_it() -> None:
    ((_, column),) = scores(*read_results(ROOT / "examples/results/ablation")).items()

    def sign(method: str) -> int:
        return paired_difference(column[method], column["FD-CMKD"]).sign

    for method in ("no standardisation", "no frequency split"):
        assert sign(method) == -1
    assert sign("no shared classifiers") == 1
    alike = ["cut at 1/4", "cut at 1/3", "learned cut-off", "cosine transform", "Haar wavelets"]
    alike += ["random basis", "permuted channels", "MSE low, MSE high"]
    alike += ["LogMSE low, LogMSE high", "LogMSE low, MSE high"]
    assert [sign(method) for method in alike] == [0] * len(alike)


def test_the_words_on_several_teachers_are_true_of_them() -> None:
    ((_, column),) = scores(*read_results(ROOT / "examples/results/teachers")).items()

    def sign(method: str, reference: str) -> int:
        return paired_difference(column[method], column[reference]).sign

    for method in ("KD, audio", "KD, text", "KD, both", "KD, both learned"):
        assert sign(method, "w/o KD") == 1
    # Two teachers are not shown to be more than the better one, nor any average of them.
    for method in ("KD, audio", "KD, both 2 to 1", "KD, both by confidence"):
        assert sign("KD, both", method) == 0
    assert sign("KD, both learned", "KD, both") == -1
    assert sign("FD-CMKD, both", "FD-CMKD, text") == 1
    assert sign("FD-CMKD, both", "FD-CMKD, audio") == 0
    for control in ("no teacher", "shuffled pairs"):
        assert sign("FD-CMKD, both", control) == 1
    assert sign("mutual KD, audio", "w/o KD") == 0
    assert sign("mutual KD, audio", "KD, audio") == -1


def test_the_words_on_the_rooms_are_true_of_them() -> None:
    found = scores(*read_results(ROOT / "examples/results/rooms"))
    (to_visual,) = (column for (direction, _), column in found.items() if "to visual" in direction)
    (to_depth,) = (column for (direction, _), column in found.items() if "to depth" in direction)

    def mean(column: dict[str, list[float]], method: str) -> float:
        return statistics.mean(column[method])

    heads = "FD-CMKD, channels and heads"
    methods = ["KD", "DIST", "DKD", "CIRKD", "CIRKDv2", "CIRKDv2 + FD-CMKD"]
    methods += ["FD-CMKD, channels", heads, "FD-CMKD, spatial"]
    for method in methods:
        assert paired_difference(to_visual[method], to_visual["w/o KD"]).sign == 1
        assert paired_difference(to_depth[method], to_depth["w/o KD"]).sign == (method == heads)
    for column in (to_visual, to_depth):
        assert paired_difference(column[heads], column["no teacher"]).sign == 1
    assert max(to_depth, key=lambda method: mean(to_depth, method)) == heads
    gain = paired_difference(to_depth[heads], to_depth["w/o KD"])
    page = (ROOT / "examples/guides/segmentation.md").read_text()
    assert f"(+{100 * gain.mean:.1f} [+{100 * gain.low:.1f}, +{100 * gain.high:.1f}])" in page
    ours = to_visual["FD-CMKD, channels"]
    assert paired_difference(ours, to_visual["shuffled scenes"]).sign == 0
    for method in ("DIST", "KD", "CIRKD"):
        assert mean(to_visual, method) > mean(to_visual, "FD-CMKD, channels")


def test_the_words_on_watch_are_true_of_it() -> None:
    to_gyroscope, to_accelerometer = scores(*read_results(ROOT / "examples/results/watch")).values()

    def sign(column: dict[str, list[float]], method: str, reference: str) -> int:
        return paired_difference(column[method], column[reference]).sign

    alike = ("Feat", "PKD", "FitNets", "SP", "RKD", "CRD")
    for column in (to_gyroscope, to_accelerometer):
        assert sign(column, "FD-CMKD", "shuffled pairs") == 1
        assert sign(column, "shuffled pairs", "w/o KD") == -1
        assert sign(column, "maps not split", "FD-CMKD of maps") == 0
    assert all(sign(to_gyroscope, method, "w/o KD") == 1 for method in ("FD-CMKD", *alike[1:]))
    assert all(sign(to_gyroscope, "FD-CMKD", method) == 0 for method in alike)
    gain = paired_difference(to_gyroscope["FD-CMKD"], to_gyroscope["w/o KD"]).mean
    assert 0.11 < gain < 0.12
    lower = statistics.mean(to_gyroscope["FD-CMKD of maps"])
    assert lower - statistics.mean(to_gyroscope["maps in a random basis"]) == pytest.approx(
        0.024, abs=0.0005
    )
    assert sign(to_accelerometer, "maps in a random basis", "FD-CMKD of maps") == 0
    above = [name for name in to_accelerometer if sign(to_accelerometer, name, "w/o KD") == 1]
    assert above == ["CRD"]
    for method in ("CRD", "RKD"):
        assert sign(to_accelerometer, method, "FD-CMKD") == 1
    assert sign(to_accelerometer, "FD-CMKD", "w/o KD") == 0
    for method in ("FD-CMKD of maps", "Feat", "AT"):
        assert sign(to_accelerometer, method, "w/o KD") == -1


def test_the_words_on_digits_of_other_classes_are_true_of_them() -> None:
    folder = ROOT / "examples/results/digits_other_classes"
    to_visual, to_audio = scores(*read_results(folder)).values()

    def sign(column: dict[str, list[float]], method: str, reference: str) -> int:
        return paired_difference(column[method], column[reference]).sign

    for reference in ("w/o KD", "shuffled pairs"):
        assert sign(to_audio, "FD-CMKD", reference) == 1
        assert sign(to_visual, "FD-CMKD", reference) == 0
    rivals = [*to_audio][1:10]
    assert {rival for rival in rivals if sign(to_audio, "FD-CMKD", rival) == 1} == {
        *("Feat", "FitNets", "SP", "RKD", "AFD", "AT")
    }
    assert {rival for rival in rivals if sign(to_audio, "FD-CMKD", rival) == -1} == set()
    assert max(to_audio, key=lambda name: statistics.mean(to_audio[name])) == "PKD"
    above = {rival for rival in rivals if sign(to_visual, rival, "FD-CMKD") == 1}
    assert above == {"PKD", "InfoNCE"}
    for column in (to_visual, to_audio):
        assert sign(column, "PKD", "w/o KD") == 1
        assert sign(column, "AT", "w/o KD") == -1
        assert sign(column, "FD-CMKD of maps", "w/o KD") == 0


def test_watch_asks_about_the_method_that_the_search_found_best() -> None:
    settings, rows = read_results(ROOT / "examples/results/watch")
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        if not row.chosen and row.method != "teacher":
            tried = found.setdefault((row.method, row.direction), {})
            tried.setdefault(row.tuned, []).append(row.values["val_last"])
    best = {key: max(map(statistics.mean, tried.values())) for key, tried in found.items()}
    total = {
        name: sum(best[name, direction] for direction in settings["directions"])
        for name in settings["methods"]
    }
    assert max(total, key=lambda name: total[name]) == settings["question"] == "FD-CMKD"


def test_the_words_on_watch_with_few_labels_are_true_of_it() -> None:
    columns = scores(*read_results(ROOT / "examples/results/watch_labels"))
    maps, both, shuffled = "FD-CMKD of maps", "KD + FD-CMKD of maps", "KD + shuffled pairs"
    above, gains = [], []
    assert [direction for direction, _ in columns][1] == "gyroscope to accelerometer"
    for column in columns.values():

        def difference(method: str, reference: str, column: Any = column) -> Difference:
            return paired_difference(column[method], column[reference])

        for reference in ("w/o KD", "shuffled pairs"):
            assert difference(maps, reference).sign == 1
            assert 0.14 < difference(maps, reference).mean < 0.19
        gains.append([round(100 * difference(maps, x).mean) for x in ("w/o KD", "shuffled pairs")])
        assert difference(maps, "KD").sign == difference(maps, "DIST").sign == -1
        assert difference(maps, "PKD").sign == 0
        assert difference(both, "KD").sign == 0
        above.append((f"{difference(both, 'KD').mean:+.3f}", difference(both, shuffled).sign))
    assert above == [("+0.002", 0), ("+0.018", 1)]
    assert gains == [[17, 19], [15, 17]]


def test_the_words_on_the_second_judgement_are_true_of_it() -> None:
    folder = ROOT / "examples/results"
    first, _ = read_results(folder / "watch_labels")
    settings, rows = read_results(folder / "watch_labels_fresh")
    used = {*first["seeds"], *first["tune_seeds"]}
    assert not used & {*settings["seeds"]}
    assert len(settings["seeds"]) == 20
    ((direction, _), column), *others = scores(settings, rows).items()
    assert (direction, others) == ("gyroscope to accelerometer", [])
    both = column["KD + FD-CMKD of maps"]
    gains = [paired_difference(both, column[name]) for name in ("KD", "KD + shuffled pairs")]
    assert [(f"{gain.mean:.3f}", gain.sign) for gain in gains] == [("0.022", 1), ("0.024", 1)]
    # The settings that the first judgement had.
    chosen = {
        (row.method, row.direction): row.tuned
        for row in read_results(folder / "watch_labels")[1]
        if row.chosen
    }
    for method, entry in settings["methods"].items():
        given = " ".join(arg[2:] for arg in entry["args"] if arg.startswith("--"))
        assert (
            given.replace("fdkd", "'fdkd'").replace("kd: 1", "'kd': 1") == chosen[method, direction]
        )


def test_the_words_on_watch_with_all_labels_are_true_of_it() -> None:
    settings, rows = read_results(ROOT / "examples/results/watch_all_labels")
    to_gyroscope, to_accelerometer = scores(settings, rows).values()
    maps, heads, oracle = "FD-CMKD of maps", "FD-CMKD, shared classifiers", ORACLE
    gains = {
        name: paired_difference(to_accelerometer[maps], to_accelerometer[name])
        for name in ("w/o KD", "KD", "shuffled pairs", oracle)
    }
    assert {gain.sign for gain in gains.values()} == {1}
    assert [f"{gain.mean:.3f}" for gain in gains.values()] == ["0.043", "0.043", "0.062", "0.026"]
    for method, other, sign in [
        ("KD", "w/o KD", 0),
        ("KD + FD-CMKD of maps", "KD", 0),
        (heads, "w/o KD", 1),
        (heads, "no teacher", 0),
        (oracle, "w/o KD", 0),
    ]:
        found = paired_difference(to_accelerometer[method], to_accelerometer[other])
        assert found.sign == sign, (method, other)
    for method in to_gyroscope:
        assert paired_difference(to_gyroscope[method], to_gyroscope["w/o KD"]).sign == 0
    for column in (to_gyroscope, to_accelerometer):
        for method in ("maps not split", "maps in a random basis"):
            assert paired_difference(column[method], column[maps]).sign == 0
    teacher = teacher_scores(rows)["gyroscope", "all labels"]
    assert paired_difference(teacher, to_accelerometer["w/o KD"]).sign == -1
    assert settings["question"] == "KD + FD-CMKD of maps"
    for column in (to_gyroscope, to_accelerometer):
        assert paired_difference(column[settings["question"]], column["w/o KD"]).sign == 0
    lines = (ROOT / "examples/results/watch_all_labels/subjects.md").read_text().splitlines()
    people = {
        name: [float(cell) for cell in cells]
        for name, *cells in ([x.strip() for x in line.strip("|").split("|")] for line in lines)
        if name in (maps, "w/o KD")
    }  # the second table, to the accelerometer, replaces the first
    gained = [a - b for a, b in zip(people[maps], people["w/o KD"], strict=True)]
    assert sorted(round(x) for x in gained) == [-3, 1, 7, 12]


def test_the_words_on_the_oracle_of_watch_are_true_of_it() -> None:
    found = []
    for study, method in (("watch", "FD-CMKD"), ("watch_labels", "KD + FD-CMKD of maps")):
        columns = scores(*read_results(ROOT / f"examples/results/{study}_oracle"))
        for (direction, _), column in columns.items():
            gain = paired_difference(column[method], column[ORACLE])
            found.append((direction.partition(" ")[0], f"{gain.mean:+.3f}", gain.sign))
    assert found == [
        ("accelerometer", "-0.090", -1),
        ("gyroscope", "-0.087", 0),
        ("accelerometer", "+0.008", 0),
        ("gyroscope", "+0.037", 1),
    ]


def test_the_words_on_rooms_with_all_labels_are_true_of_them() -> None:
    columns = scores(*read_results(ROOT / "examples/results/rooms_all_labels"))
    to_visual, to_depth = (
        {m: paired_difference(column[m], column["w/o KD"]).sign for m in column}
        for column in columns.values()
    )
    assert [direction for direction, _ in columns] == ["depth to visual", "visual to depth"]
    lower = {"KD", "DIST", "DKD", "C2KD", "CIRKD", "CIRKDv2", "CIRKDv2 + FD-CMKD"}
    for signs, others in ((to_visual, {"shuffled scenes"}), (to_depth, {"FD-CMKD, spatial"})):
        assert {method for method, sign in signs.items() if sign < 0} == lower | others
    assert {method for method, sign in to_visual.items() if sign > 0} == set()
    assert {method for method, sign in to_depth.items() if sign > 0} == {"no teacher"}
    for column in columns.values():
        assert max(column, key=lambda method: statistics.mean(column[method])) == "no teacher"


def test_the_words_on_indian_pines_are_true_of_it() -> None:
    settings, rows = read_results(ROOT / "examples/results/indian_pines")
    for (direction, _), column in scores(settings, rows).items():
        for method in column:
            assert paired_difference(column[method], column["w/o KD"]).sign < 1
        pairs = paired_difference(column["FD-CMKD, channels"], column["shuffled blocks"])
        assert pairs.sign == (direction == "visible to infrared")
    assert f"{100 * pairs.mean:.1f}" == "2.5"
    teacher = [
        row.values["test_best"]
        for row in rows
        if (row.method, row.direction) == ("teacher", "visible") and row.seed in settings["seeds"]
    ]
    assert statistics.mean(teacher) < statistics.mean(column["w/o KD"])


def test_the_words_on_other_classes_of_indian_pines_are_true_of_them() -> None:
    settings, rows = read_results(ROOT / "examples/results/indian_pines_transfer")
    found = scores(settings, rows)
    above = []
    for key, column in found.items():
        for method in column:
            assert paired_difference(column["FD-CMKD"], column[method]).sign == 0
            if paired_difference(column[method], column["w/o KD"]).sign == 1:
                above.append((key, method))
    assert [method for _, method in above] == ["Feat"]
    assert len(found) == 4
    # Two seeds and regimes of each method, at the larger rate.
    assert len(settings["failures"]) == 4 * len(settings["methods"])
    assert all("visible_to_infrared" in name for name in settings["failures"])
    assert all("lr=0.1" in name for name in settings["failures"])
    searched = [row for row in rows if not row.chosen and row.method != "teacher"]
    assert len(searched) + len(settings["failures"]) == 112


def test_the_words_on_the_forecast_are_true_of_it() -> None:
    found = script("forecast")
    rows = found.read_rows()
    assert len(rows) == 16
    p = {
        (name, gain): found.correlation(rows, name, gain)[1]
        for name in found.FORECASTS
        for gain in found.GAINS.values()
    }
    assert len(p) == 12
    assert [key for key in p if p[key] < 0.05] == [("teacher", "gain_over_baseline")]
    r2 = {
        is_watch: [float(r["r2"]) for r in rows if ("watch" in r["study"]) == is_watch]
        for is_watch in (True, False)
    }
    assert min(r2[True]) > 0.5
    assert max(r2[False]) < 0.015


@pytest.mark.parametrize("study", ["watch", "watch_labels", "watch_oracle", "watch_labels_oracle"])
def test_search_and_judgement_of_watch_share_no_seed_and_no_test_person(study: str) -> None:
    settings, rows = read_results(ROOT / f"examples/results/{study}")
    judged = {row.seed for row in rows if row.chosen}
    searched = {row.seed for row in rows if not row.chosen}
    assert judged == {*settings["seeds"]}
    assert searched == {*settings["tune_seeds"]}
    assert not judged & searched
    assert not [row for row in rows if not row.chosen and any("test" in x for x in row.values)]
    for seed in judged | searched:
        people = Watch(seed=seed).subjects
        assert people["test"] == TEST_SUBJECTS
        assert not TEST_SUBJECTS & (people["train"] | people["val"])
    trials: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if not row.chosen and row.method != "teacher":
            trials.setdefault((row.method, row.direction), set()).add(row.tuned)
    assert {len(tuned) for tuned in trials.values()} == {6}
    assert {method for method, _ in trials} == {*settings["methods"]}


def test_the_published_configurations_are_values_without_comments_and_folders() -> None:
    files = sorted((ROOT / "examples/results").rglob("results.json"))
    assert len(files) > 5
    for path in files:
        published = json.loads(path.read_text())
        assert published["configs"]
        assert all(isinstance(config, dict) for config in published["configs"].values())
        assert redact(published) == published
        assert not {*LOCAL} & published["study"].keys()
